#!/usr/bin/env python
"""Prints the parameter table of the network that a configuration builds; no image is needed.

python tools/dev/analyze_model.py --config-file configs/foundation_x_swin_b.yaml
"""

from __future__ import annotations

from collections import defaultdict

from detectron2.modeling import build_model
from tabulate import tabulate
from torch import nn

from fx_d2.engine.build import prepare
from fx_d2.tooling import config_argument_parser, config_from_args, run_tool


def component(name: str) -> str:
    """``heads.box.decoders.node21.layers.0...`` -> ``heads.box.decoders``: datasets are counted together."""
    parts = name.split(".")
    return parts[0] if parts[0] == "backbone" else ".".join(parts[:3])


def parameter_table(model: nn.Module) -> str:
    """Tensors and parameters of each component, and their sum."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for name, parameter in model.named_parameters():
        for key in (component(name), "total"):
            counts[key][0] += 1
            counts[key][1] += parameter.numel()
    total = counts.pop("total")
    rows = [(name, *values) for name, values in counts.items()] + [("total", *total)]
    return tabulate(
        [(n, t, f"{p:,}") for n, t, p in rows],
        ("component", "tensors", "parameters"),
        colalign=("left", "right", "right"),
    )


def main() -> None:
    cfg = config_from_args(config_argument_parser(__doc__).parse_args())
    prepare(cfg)
    print(parameter_table(build_model(cfg)))


if __name__ == "__main__":
    run_tool(main)

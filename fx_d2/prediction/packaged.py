"""The weights that come with the package: trained on synthetic radiographs alone (docs/weights.md)."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode

from ..checkpoint import read_weights
from ..config import get_fx_cfg
from ..device import resolve_device
from ..tooling import config_from_args

FILE = Path(__file__).parents[1] / "pretrained" / "synthetic.safetensors"


def packaged_config(pairs: Sequence[Any] = ()) -> CfgNode:
    """The configuration of these weights, with them as ``MODEL.WEIGHTS``, for any machine; ``pairs``: KEY VALUE ...

    Raises:
        FileNotFoundError: this installation has no weights.
        ValueError: a key or value is wrong.
    """
    if not FILE.is_file():
        raise FileNotFoundError(
            f"no weights come with this installation ({FILE} is missing): name a configuration with --config-file, and "
            "MODEL.WEIGHTS"
        )
    cfg, defaults = get_fx_cfg(), get_fx_cfg()
    cfg.merge_from_text(read_weights(FILE).config, str(FILE))
    cfg.MODEL.DEVICE, cfg.SOLVER.AMP = defaults.MODEL.DEVICE, defaults.SOLVER.AMP  # not those of the training
    cfg.MODEL.WEIGHTS = str(FILE)
    cfg.merge_from_list(list(pairs))
    return cfg


def config_or_packaged(args: argparse.Namespace) -> CfgNode:
    """As :func:`config_from_args`; that of the package's weights where neither configuration nor weights are named."""
    if args.config_file or "MODEL.WEIGHTS" in args.opts:
        return config_from_args(args)
    cfg = packaged_config(args.opts)
    resolve_device(cfg)
    cfg.freeze()
    return cfg

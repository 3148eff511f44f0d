r"""Writes a trained network as a file that runs without this package, and compares it with the network.

    fx-d2 export --config-file output/phantom/config.yaml --format onnx --output exported \
        MODEL.WEIGHTS output/phantom/model_best.pth

Writes model.onnx, model.ts or model.pt2, and beside it model.onnx.json and so on (inputs, outputs, classes;
docs/export.md). Exit code: 0 written and equal to the network; 2 the command line, the configuration or the weights are
unusable; 3 written, but not equal.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from pathlib import Path

import torch

from fx_d2 import __version__
from fx_d2.device import resolve_device
from fx_d2.export.formats import FORMATS
from fx_d2.export.graph import ExportGraph
from fx_d2.export.parity import TOLERANCE, largest_differences
from fx_d2.export.sidecar import describe
from fx_d2.prediction.findings import FindingMap
from fx_d2.prediction.options import choose_network, parse_units
from fx_d2.prediction.weights import load_networks
from fx_d2.tooling import config_argument_parser, config_from_args

UNEQUAL = 3


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = config_argument_parser(__doc__)
    parser.add_argument("--format", choices=tuple(FORMATS), default="onnx", help="kind of file (onnx)")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of the file")
    parser.add_argument("--units", default="all", metavar="U,U", help="units to export, such as chexpert/cls (all)")
    parser.add_argument("--model", choices=("teacher", "student"), default="auto", help="which network (teacher)")
    parser.add_argument("--findings", metavar="YAML", help="which heads mean the same finding (default: the package's)")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    args = parse_arguments(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    cfg = config_from_args(args).clone()
    cfg.defrost()
    cfg.MODEL.DEVICE = "cpu"
    resolve_device(cfg)
    args.model, network = choose_network(load_networks(cfg), args.model)
    graph = ExportGraph(network, parse_units(args.units, list(network.classes)), cfg.INPUT.SIZE)
    findings = FindingMap.load(args.findings)
    findings.check(network.classes)
    ending, write, load = FORMATS[args.format]
    args.output.mkdir(parents=True, exist_ok=True)
    path = args.output / f"model{ending}"
    start = time.perf_counter()
    write(graph, path)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB in {time.perf_counter() - start:.0f} s")
    differences = largest_differences(graph, load(path))
    about = {
        "file": path.name,
        "kind": args.format,
        "fx_d2": __version__,
        "torch": torch.__version__,
        "weights": cfg.MODEL.WEIGHTS,
        "model": args.model,
        "largest_difference": differences,
    }
    table = findings.table({unit: network.classes[unit] for unit in graph.units})
    sidecar = path.with_name(f"{path.name}.json")
    sidecar.write_text(json.dumps(describe(graph, cfg.INPUT.LETTERBOX, table, about), indent=1, ensure_ascii=False))
    worst = max(differences.values())
    print(f"{sidecar}: {len(graph.outputs)} outputs; largest difference from the network {worst:.1e}")
    if not worst <= TOLERANCE:
        print(f"error: {path} differs from the network by more than {TOLERANCE:g}", file=sys.stderr)
        sys.exit(UNEQUAL)

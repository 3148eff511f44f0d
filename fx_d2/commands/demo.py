r"""Serves a local page: drop a radiograph, see findings, boxes and masks of each head, compare student and teacher.

    fx-d2 demo
    fx-d2 demo --config-file output/phantom/config.yaml MODEL.WEIGHTS output/phantom/model_best.pth

Needs the extra "demo" (pip install 'fx_d2[demo]'). Listens on this computer only unless --host says otherwise.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
from pathlib import Path

from fx_d2 import Predictor
from fx_d2.demo.address import is_loopback, refuse_taken
from fx_d2.prediction.operating_points import OperatingPoints, describe
from fx_d2.prediction.packaged import config_or_packaged
from fx_d2.prediction.weights import MODELS, load_networks
from fx_d2.tooling import config_argument_parser


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = config_argument_parser(__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1: this computer only)")
    parser.add_argument("--port", type=int, default=8080, help="port (8080)")
    parser.add_argument("--units", default="all", metavar="U,U", help="units to show, such as chexpert/cls (all)")
    parser.add_argument("--findings", metavar="YAML", help="which heads mean the same finding (default: the package's)")
    parser.add_argument(
        "--operating-points", metavar="FILE", help="call findings: thresholds.json of an evaluation of these weights"
    )
    parser.add_argument("--open", action="store_true", help="open the page in a browser")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    args = parse_arguments(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    if importlib.util.find_spec("nicegui") is None:
        raise ValueError("the demo needs the package nicegui: pip install 'fx_d2[demo]'")
    from fx_d2.demo.page import serve

    cfg = config_or_packaged(args)
    refuse_taken(args.host, args.port)
    points = OperatingPoints.load(args.operating_points) if args.operating_points else None
    networks = load_networks(cfg)
    predictors = {}
    for name in (name for name in MODELS if name in networks):
        options = {"findings": args.findings, "batch": 1}
        options["points"] = points.of(name, networks[name].classes) if points else None
        predictors[name] = predictor = Predictor.from_network(cfg, networks[name], args.units, **options)
        if points:
            print(f"operating points of the {name}:", *describe(predictor.points, predictor.classes), sep="\n  ")
    print(f"demo: http://{args.host}:{args.port}  (stop it with Ctrl+C)", flush=True)
    if not is_loopback(args.host):
        print("warning: everyone who reaches this address can use the page; there is no password", flush=True)
    serve(predictors, Path(cfg.MODEL.WEIGHTS).name, args.host, args.port, args.open)

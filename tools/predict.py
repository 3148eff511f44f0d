#!/usr/bin/env python
r"""Predicts findings, boxes and masks of image files with every head of a trained network.

    python tools/predict.py --config-file output/phantom/config.yaml --input images/ more/*.png scan.dcm \
        --output predictions MODEL.WEIGHTS output/phantom/model_best.pth

Writes predictions.json, predictions.csv, findings.csv, coco/ and overlays/ (docs/prediction.md). Exit code: 0 all
images predicted; 2 the command line, the configuration, the weights or the inputs are unusable; 3 some images failed,
the others are written.
"""

from __future__ import annotations

import fx_d2  # isort: skip  # (first: it sets how PyTorch's threads wait)
import argparse
import logging
import re
import sys
import time
from pathlib import Path

from PIL import Image
from tabulate import tabulate
from tqdm import tqdm

from fx_d2 import Predictor
from fx_d2.prediction import Prediction
from fx_d2.prediction.findings import FindingMap
from fx_d2.prediction.pictures import Palette, draw_prediction, picture_names
from fx_d2.prediction.records import image_record
from fx_d2.prediction.sources import find_images, summary
from fx_d2.prediction.writers import PredictionWriter
from fx_d2.tooling import config_argument_parser, config_from_args, run_tool

FAILED = 3


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = config_argument_parser(__doc__)
    parser.add_argument("--input", nargs="+", default=[], metavar="FILE|DIR|GLOB", help="PNG, JPEG or DICOM images")
    parser.add_argument("--output", type=Path, metavar="DIR", help="folder of the results")
    parser.add_argument("--units", default="all", metavar="U,U", help="units to predict, such as chexpert/cls (all)")
    parser.add_argument("--model", choices=("teacher", "student"), default="teacher", help="which network (teacher)")
    parser.add_argument("--threshold", type=float, default=0.3, help="lowest score of a box or mask that is kept (0.3)")
    parser.add_argument("--batch", type=int, default=8, help="images per pass of the network (8)")
    parser.add_argument("--workers", type=int, default=2, help="threads that read files ahead (2)")
    parser.add_argument("--findings", metavar="YAML", help="which heads mean the same finding (default: the package's)")
    parser.add_argument("--no-overlays", action="store_true", help="draw no pictures")
    parser.add_argument("--show-findings", action="store_true", help="print that mapping for this network and stop")
    args = parser.parse_args(arguments)
    # `--input a b MODEL.WEIGHTS w`: the list of inputs ends at the first key of the configuration.
    keys = [i for i, item in enumerate(args.input) if re.fullmatch(r"[A-Z_]+(\.[A-Z0-9_]+)+", item)]
    if keys:
        args.input, args.opts = args.input[: keys[0]], args.input[keys[0] :] + args.opts
    if not 0 <= args.threshold <= 1:
        parser.error(f"--threshold must lie in 0..1, not {args.threshold:g}")
    if not args.show_findings and not (args.input and args.output):
        parser.error("--input and --output are needed")
    return args


def show_findings(predictor: Predictor) -> str:
    """Table of the findings and the classes of each unit that mean them."""
    rows = [
        (finding, unit, ", ".join(labels))
        for finding, units in predictor.findings.table(predictor.classes).items()
        for unit, labels in units.items()
    ]
    return tabulate(rows, ("finding", "unit", "class")) + f"\nmapping: {predictor.findings.source}"


def predict(args: argparse.Namespace, predictor: Predictor, images: list[Path], about: dict) -> int:
    """Predicts and writes; returns the number of images that failed."""
    namer, palette = predictor.findings.name, Palette(predictor.findings.table(predictor.classes))
    names = picture_names([str(path) for path in images])
    start = time.perf_counter()

    def draw(prediction: Prediction, path: Path) -> None:
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(draw_prediction(prediction, namer, palette, args.model, args.threshold)).save(path)

    with PredictionWriter(args.output, predictor.classes, about) as writer, tqdm(total=len(images), unit="img") as bar:

        def report(name: str, error: Exception) -> None:
            writer.fail(name, str(error))
            bar.write(f"failed: {error}", file=sys.stderr)
            bar.update()

        for prediction in predictor.stream(images, report):
            writer.add(image_record(prediction, args.threshold))
            if not args.no_overlays:
                draw(prediction, args.output / "overlays" / names[prediction.name])
            bar.update()
    seconds = time.perf_counter() - start
    done = len(images) - len(writer.failed)
    print(f"{summary(done, len(writer.failed))}, {done / seconds:.1f} images/s; results in {args.output}")
    return len(writer.failed)


def main(arguments: list[str] | None = None) -> None:
    args = parse_arguments(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    cfg = config_from_args(args)
    images = [] if args.show_findings else find_images(args.input)
    options = {"findings": FindingMap.load(args.findings), "batch": args.batch, "workers": args.workers}
    predictor = Predictor.from_config(cfg, units=args.units, model=args.model, **options)
    if args.show_findings:
        print(show_findings(predictor))
        return
    about = {
        "fx_d2": fx_d2.__version__,
        "weights": cfg.MODEL.WEIGHTS,
        "model": args.model,
        "threshold": args.threshold,
        "mask_threshold": cfg.MODEL.MASK.THRESHOLD,
        "findings": predictor.findings.table(predictor.classes),
    }
    if predict(args, predictor, images, about):
        sys.exit(FAILED)


if __name__ == "__main__":
    run_tool(main)

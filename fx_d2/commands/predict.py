r"""Predicts findings, boxes and masks of image files with every head of a trained network.

    fx-d2 predict --input scan.dcm --output predictions
    fx-d2 predict --config-file output/phantom/config.yaml --input images/ more/*.png scan.dcm \
        --output predictions MODEL.WEIGHTS output/phantom/model_best.pth

Where neither a configuration nor weights are named, the weights that come with the package predict; they were trained
on synthetic radiographs alone.

Writes predictions.json, predictions.csv, findings.csv, coco/, overlays/ and, from masks of heart and lungs,
cardiothoracic.csv (docs/prediction.md). Exit code: 0 all images predicted; 2 the command line, the configuration, the
weights or the inputs are unusable; 3 some images failed, the others are written.
"""

from __future__ import annotations

import argparse
import logging
import re
import sys
import time
from dataclasses import asdict
from pathlib import Path

from PIL import Image
from tabulate import tabulate
from tqdm import tqdm

from fx_d2 import Predictor, __version__
from fx_d2.evaluation.recorder import THRESHOLDS
from fx_d2.files import replacing
from fx_d2.prediction import Prediction, dicom
from fx_d2.prediction.operating_points import describe
from fx_d2.prediction.packaged import config_or_packaged
from fx_d2.prediction.pictures import Palette, draw_prediction, picture_names
from fx_d2.prediction.records import image_record
from fx_d2.prediction.sources import failure, find_images, summary
from fx_d2.prediction.writers import PredictionWriter
from fx_d2.tooling import config_argument_parser

FAILED = 3


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = config_argument_parser(__doc__)
    parser.add_argument(
        "--input", nargs="+", default=[], metavar="FILE|DIR|GLOB", help="images of any format that is read"
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="folder of the results")
    parser.add_argument("--units", default="all", metavar="U,U", help="units to predict, such as chexpert/cls (all)")
    parser.add_argument("--model", choices=("teacher", "student"), default="auto", help="which network (teacher)")
    parser.add_argument("--threshold", type=float, default=0.3, help="lowest score of a box or mask that is kept (0.3)")
    parser.add_argument("--batch", type=int, default=8, help="images per pass of the network (8)")
    parser.add_argument("--workers", type=int, default=2, help="threads that read files ahead (2)")
    parser.add_argument("--findings", metavar="YAML", help="which heads mean the same finding (default: the package's)")
    parser.add_argument(
        "--operating-points", metavar="FILE", help="call findings: thresholds.json of an evaluation of these weights"
    )
    parser.add_argument("--no-overlays", action="store_true", help="draw no pictures")
    parser.add_argument("--dicom-seg", action="store_true", help="masks of DICOM images as DICOM segmentations, too")
    parser.add_argument("--dicom-sc", action="store_true", help="pictures of DICOM images as secondary captures, too")
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


def operating_points(predictor: Predictor, file: str | None, weights: str) -> dict | None:
    """What ``predictions.json`` says of them; printed, too."""
    if not file:
        beside = Path(weights).with_name(THRESHOLDS)
        if beside.is_file():
            print(f"no finding is called; if the last evaluation was of these weights: --operating-points {beside}")
        return None
    print(f"operating points: {file}", *describe(predictor.points, predictor.classes), sep="\n  ")
    units = {
        str(unit): {name: asdict(point) for name, point in points.items()} for unit, points in predictor.points.items()
    }
    return {"file": file, "units": units}


class Results:
    """What is written for each image beside the tables: its picture, and DICOM where it is asked for."""

    def __init__(self, args: argparse.Namespace, predictor: Predictor, images: list[Path]) -> None:
        self.args, self.namer, self.model = args, predictor.findings.name, predictor.model
        self.notice = predictor.notice
        self.title = ". ".join(filter(None, (self.model, self.notice)))
        self.palette = Palette(predictor.findings.table(predictor.classes))
        self.names = picture_names([str(path) for path in images])
        self.plain = 0
        if args.dicom_seg or args.dicom_sc:
            dicom.require_highdicom()

    def write(self, prediction: Prediction) -> None:
        args, stem = self.args, Path(self.names[prediction.name]).stem
        wants_dicom = (args.dicom_seg or args.dicom_sc) and dicom.is_dicom(prediction.name)
        self.plain += (args.dicom_seg or args.dicom_sc) and not wants_dicom
        if not args.no_overlays or (wants_dicom and args.dicom_sc):
            picture = draw_prediction(prediction, self.namer, self.palette, self.title, args.threshold)
        if not args.no_overlays:
            with replacing(self._path("overlays", f"{stem}.png"), flush=False) as stream:
                Image.fromarray(picture).save(stream, format="png")
        if wants_dicom and args.dicom_seg:
            path = self._path("dicom", f"{stem}_seg.dcm")
            dicom.write_segmentation(prediction, path, self.model, __version__, args.threshold, self.notice)
        if wants_dicom and args.dicom_sc:
            dicom.write_capture(prediction, picture, self._path("dicom", f"{stem}_sc.dcm"))

    def _path(self, folder: str, name: str) -> Path:
        path = self.args.output / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def predict(args: argparse.Namespace, predictor: Predictor, images: list[Path], about: dict) -> int:
    """Predicts and writes; returns the number of images that failed."""
    results = Results(args, predictor, images)
    start, done = time.perf_counter(), 0
    with PredictionWriter(args.output, predictor.classes, about) as writer, tqdm(total=len(images), unit="img") as bar:

        def report(name: str, error: Exception) -> None:
            reason = failure(name, error)
            writer.fail(name, reason)
            bar.write(f"failed: {reason}", file=sys.stderr)

        def missing(name: str, error: Exception) -> None:
            report(name, error)
            bar.update()

        for prediction in predictor.stream(images, missing):
            done += 1
            try:
                writer.add(image_record(prediction, args.threshold))
                results.write(prediction)
            except Exception as error:  # whatever a full disk or a library raises: the other images go on
                report(prediction.name, error)
            bar.update()
    seconds = time.perf_counter() - start
    print(f"{summary(done, len(writer.failed))}, {done / seconds:.1f} images/s; results in {args.output}")
    if results.plain:
        print(f"{results.plain} of them are no DICOM files and have no DICOM results")
    return len(writer.failed)


def main(arguments: list[str] | None = None) -> None:
    args = parse_arguments(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    cfg = config_or_packaged(args)
    images = [] if args.show_findings else find_images(args.input)
    predictor = Predictor.from_config(
        cfg,
        units=args.units,
        model=args.model,
        operating_points=args.operating_points,
        findings=args.findings,
        batch=args.batch,
        workers=args.workers,
    )
    if args.show_findings:
        print(show_findings(predictor))
        return
    about = {
        "fx_d2": __version__,
        "weights": cfg.MODEL.WEIGHTS,
        "model": predictor.model,
        "threshold": args.threshold,
        "mask_threshold": cfg.MODEL.MASK.THRESHOLD,
        "gates": predictor.network.gates(predictor.units),
        "findings": predictor.findings.table(predictor.classes),
        "operating_points": operating_points(predictor, args.operating_points, cfg.MODEL.WEIGHTS),
    }
    if notice := predictor.notice:
        about["notice"] = notice
        print(notice)
    if predict(args, predictor, images, about):
        sys.exit(FAILED)

"""Draws what the model will see: images with their annotations, or the augmented views that training makes of them.

fx-d2 visualize-data --config-file configs/phantom.yaml --output output/look
fx-d2 visualize-data --config-file configs/phantom.yaml --unit phantom_heart/mask --source mapper
"""

from __future__ import annotations

import argparse
import logging
import re
import zlib
from pathlib import Path

import numpy as np
from detectron2.data import DatasetCatalog
from PIL import Image
from tqdm import tqdm

from fx_d2.config import cycle_units, split_name, unit_metadata
from fx_d2.data.errors import nearest
from fx_d2.data.mapper import UnitMapper
from fx_d2.engine.build import prepare
from fx_d2.schedule import Unit
from fx_d2.tooling import config_argument_parser, config_from_args
from fx_d2.visualization.sheets import annotation_sheet, choose_images, view_sheet


def make_parser() -> argparse.ArgumentParser:
    parser = config_argument_parser(__doc__)
    parser.add_argument("--unit", metavar="DATASET/TASK", help="one unit (default: all of the configuration)")
    parser.add_argument("--split", default="train", help="split to draw (default: train)")
    choices, default = ("annotation", "mapper"), "annotation"
    parser.add_argument("--source", choices=choices, default=default, help="stored images, or training views of them")
    parser.add_argument("--images", metavar="N", type=int, default=8, help="images of each unit (default: 8)")
    parser.add_argument("--draws", metavar="N", type=int, default=4, help="views of each image (default: 4)")
    parser.add_argument("--output", metavar="DIR", type=Path, default=Path("output/visualize_data"))
    return parser


def draw(cfg, unit: Unit, args: argparse.Namespace) -> list[Path]:
    """Draws some images of a unit; returns the files."""
    metadata = unit_metadata(unit)
    if args.split not in metadata.splits:
        raise ValueError(f"{unit} has no split {args.split!r}; {nearest(args.split, metadata.splits, 'splits')}")
    mapper, classes, paths = UnitMapper(cfg, unit, train=True), metadata.thing_classes, []
    records = choose_images(DatasetCatalog.get(split_name(unit, args.split)), args.images)
    for number, record in enumerate(tqdm(records, desc=str(unit), unit="image", leave=False), start=1):
        if args.source == "annotation":
            picture = annotation_sheet(record, classes)
        else:
            seed = [max(cfg.SEED, 0), zlib.crc32(str(record["image_id"]).encode())]
            views = [mapper(record, np.random.default_rng([*seed, draw])) for draw in range(args.draws)]
            picture = view_sheet(record, classes, views)
        name = re.sub(r"\.(png|jpe?g|dcm|dicom|mha|img)$|[^A-Za-z0-9.-]+", "-", str(record["image_id"]), flags=re.I)
        paths.append(args.output / f"{split_name(unit, args.split)}_{number:02d}_{name.strip('-')[-80:]}.png")
        paths[-1].parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(paths[-1])
    return paths


def main(arguments: list[str] | None = None) -> None:
    args = make_parser().parse_args(arguments)
    if args.images < 1 or args.draws < 1:
        raise ValueError("--images and --draws take 1 or more")
    logging.getLogger("fx_d2").setLevel(logging.ERROR)
    cfg = config_from_args(args)
    prepare(cfg)
    units = [Unit.parse(args.unit)] if args.unit else cycle_units(cfg)
    for unit in units:
        paths = draw(cfg, unit, args)
        print(f"{unit} {args.split}: {len(paths)} pictures, {paths[0]} ...")

"""Writes a synthetic cohort (chest radiograph phantoms with truth) to disk, or keeps it if it is there.

The preset quickstart has four datasets that are easy to read; pretraining has five, as varied as radiographs are.

Example:
    fx-d2 phantoms --root datasets --contact-sheet phantoms.png
    fx-d2 phantoms --root datasets --preset pretraining --images 2000
"""

from __future__ import annotations

import argparse
import logging
import os
from pathlib import Path

import cv2
import numpy as np

from fx_d2.phantoms import DEFAULT_IMAGES, PRESETS, Radiograph, write_cohort

COLOURS = {  # BGR
    "Nodule": (0, 255, 255),
    "Consolidation": (0, 140, 255),
    "Effusion": (255, 160, 0),
    "Pneumothorax": (255, 0, 255),
    "Heart": (60, 60, 255),
    "Left Lung": (0, 220, 0),
    "Right Lung": (160, 220, 0),
    "Left Clavicle": (255, 120, 120),
    "Right Clavicle": (255, 200, 120),
    "Diaphragm": (0, 90, 200),
}
OTHER_FINDING = (255, 80, 200)
TILE = 256


def annotate(picture: Radiograph, classes: set[str], caption: str, overlay: bool) -> np.ndarray:
    """Colour image (TILE + 14, W, 3), uint8: the picture under its caption, with the outlines of these classes."""
    grey = picture.image if picture.image.dtype == np.uint8 else (picture.image >> 8).astype(np.uint8)
    colour = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)
    for name, mask in picture.instances if overlay else ():
        if name not in classes:
            continue
        outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(colour, outlines, -1, COLOURS.get(name, OTHER_FINDING), 1)
    widest = round(1.125 * TILE)
    across = max(0, widest - colour.shape[1])
    colour = cv2.copyMakeBorder(colour, 0, 0, across // 2, across - across // 2, cv2.BORDER_CONSTANT)
    colour = colour[:, (colour.shape[1] - widest) // 2 :][:, :widest]
    colour = cv2.copyMakeBorder(colour, 14, 0, 0, 0, cv2.BORDER_CONSTANT)
    cv2.putText(colour, caption, (3, 10), cv2.FONT_HERSHEY_SIMPLEX, 0.33, (255, 255, 255), 1, cv2.LINE_AA)
    return colour


def contact_sheet(preset: str, seed: int, columns: int = 6) -> np.ndarray:
    """Two rows per dataset: patients as they come, and the next ones with the truth drawn in."""
    rows = []
    for dataset, recipe in PRESETS[preset].datasets.items():
        classes = {name for task in recipe.tasks.values() for name in task}
        for row in range(2):
            tiles = []
            for patient in range(row * columns, (row + 1) * columns):
                picture = PRESETS[preset].draw(dataset, patient, seed=seed, size=TILE)
                names = ", ".join(sorted(picture.labels)) or "no finding"
                tiles.append(annotate(picture, classes, f"{dataset} {patient}: {names}", overlay=row == 1))
            rows.append(np.hstack(tiles))
    return np.vstack(rows)


def main() -> None:
    """Parses the command line and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--root",
        type=Path,
        default=Path(os.environ.get("DETECTRON2_DATASETS", "datasets")),
        help="data root (default: $DETECTRON2_DATASETS, else ./datasets)",
    )
    parser.add_argument(
        "--preset", choices=list(PRESETS), default="quickstart", help="which cohort (default: quickstart)"
    )
    parser.add_argument("--seed", type=int, default=0, help="another seed gives other patients")
    parser.add_argument("--images", type=int, default=sum(DEFAULT_IMAGES.values()), help="images per dataset")
    parser.add_argument("--contact-sheet", type=Path, metavar="PNG", help="also draw a sheet with truth overlays")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        path = write_cohort(arguments.root, arguments.seed, arguments.images, progress=True, preset=arguments.preset)
    except ValueError as error:
        parser.error(str(error))
    logging.info("datasets declared in %s", path)
    if arguments.contact_sheet:
        if not cv2.imwrite(str(arguments.contact_sheet), contact_sheet(arguments.preset, arguments.seed)):
            parser.error(f"{arguments.contact_sheet}: could not be written")
        logging.info("contact sheet in %s", arguments.contact_sheet)

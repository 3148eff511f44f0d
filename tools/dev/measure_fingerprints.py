#!/usr/bin/env python
"""Measures how well check_data tells copies of a radiograph from other radiographs, on folders of images.

Every image is changed in many ways and compared with itself; all pairs of different images are compared with each
other. docs/data_checks.md has the results that the thresholds were chosen by.

python tools/dev/measure_fingerprints.py FOLDER [FOLDER ...]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from tabulate import tabulate
from tqdm import tqdm

from fx_d2.data.images import SUFFIXES, read_image
from fx_d2.inspection.fingerprint import CANDIDATE, SAME, coarse, fine, thumbnails
from fx_d2.tooling import run_tool

NOISE = 8  # grey levels, standard deviation


def resize(image: np.ndarray, side: int, how: int = cv2.INTER_AREA) -> np.ndarray:
    return cv2.resize(image, (side, side), interpolation=how)


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)


def window(image: np.ndarray, percent: float) -> np.ndarray:
    """Stretches what is left after cutting off a percentage of the pixels at either end."""
    low, high = np.percentile(image, [percent, 100 - percent])
    return (np.clip((image - low) / max(high - low, 1), 0, 1) * 255).astype(np.uint8)


def crop(image: np.ndarray, share: float) -> np.ndarray:
    height, width = image.shape
    y, x = round(share * height), round(share * width)
    return image[y : height - y, x : width - x]


def pad(image: np.ndarray) -> np.ndarray:
    """Black bars to a square, or of a tenth where the image is square."""
    height, width = image.shape
    extra = abs(height - width) // 2 or height // 10
    sides = (0, 0, extra, extra) if height >= width else (extra, extra, 0, 0)
    return cv2.copyMakeBorder(image, *sides, cv2.BORDER_CONSTANT)


def rotate(image: np.ndarray, degrees: float) -> np.ndarray:
    height, width = image.shape
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    return cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)


def letter(image: np.ndarray) -> np.ndarray:
    height, width = image.shape
    where, size = (width // 20, height // 10), height / 500
    return cv2.putText(image.copy(), "PORTABLE", where, 0, size, 255, max(1, height // 200))


def noisy(image: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, NOISE, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


CHANGES = {
    "512 x 512": lambda image: resize(image, 512),
    "224 x 224": lambda image: resize(image, 224),
    "320 x 320, nearest pixel": lambda image: resize(image, 320, cv2.INTER_NEAREST),
    "JPEG, quality 50": lambda image: jpeg(image, 50),
    "JPEG, quality 20": lambda image: jpeg(image, 20),
    "window without 1 % at either end": lambda image: window(image, 1),
    "window without 5 %": lambda image: window(image, 5),
    "window without 15 %": lambda image: window(image, 15),
    "gamma 0.5": lambda image: np.rint((image / 255.0) ** 0.5 * 255).astype(np.uint8),
    "gamma 2": lambda image: np.rint((image / 255.0) ** 2 * 255).astype(np.uint8),
    "histogram equalised": cv2.equalizeHist,
    f"noise of {NOISE} grey levels": noisy,
    "rotated by 1 degree": lambda image: rotate(image, 1),
    "cropped by 1 % at each side": lambda image: crop(image, 0.01),
    "cropped by 2 %": lambda image: crop(image, 0.02),
    "cropped by 5 %": lambda image: crop(image, 0.05),
    "black bars added": pad,
    "large letters burnt in": letter,
    "CLAHE": lambda image: cv2.createCLAHE(2, (8, 8)).apply(image),
}


def best(images: list[np.ndarray], others: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Coarse and fine correlation of each of some images with one other, of their fingerprints the pair most alike.

    Args:
        images, others: fingerprints (n, 48, 48) of as many images.
    """
    pairs = []
    for one, other in zip(images, others, strict=True):
        rough, exact = coarse(one) @ coarse(other).T, fine(one) @ fine(other).T
        place = np.unravel_index(np.where(rough >= CANDIDATE, exact + 2, rough).argmax(), rough.shape)
        pairs.append((rough[place], exact[place]))
    return tuple(np.array(pairs).T)


def copies_table(images: list[np.ndarray], originals: list[np.ndarray]) -> str:
    """One row a change: the correlations of changed images with their originals, and how many are not recognised."""
    rows = []
    for name, change in tqdm(CHANGES.items(), desc="changed copies", leave=False):
        changed = [thumbnails(np.ascontiguousarray(change(image))) for image in images]
        first, second = best(changed, originals)
        missed = int(((first < CANDIDATE) | (second < SAME)).sum())
        rows.append((name, f"{first.min():.3f}", f"{second.min():.3f}", f"{missed} of {len(images)}"))
    headers = ("changed copy", "coarse, smallest", "fine, smallest", "not recognised")
    return tabulate(rows, headers, disable_numparse=True)


def pairs_table(originals: list[np.ndarray], names: list[str]) -> str:
    """The pairs of different images that are most alike, and how far the rest is from the thresholds."""
    owner = np.repeat(np.arange(len(originals)), [len(one) for one in originals])
    every = np.concatenate(originals)
    rough, exact = (product @ product.T for product in (coarse(every), fine(every)))
    first, second = np.triu_indices(len(every), 1)
    apart = owner[first] != owner[second]
    first, second = first[apart], second[apart]
    one, other = rough[first, second], exact[first, second]
    together = (one >= CANDIDATE) & (other >= SAME)
    rows = []
    for place in np.argsort(-other)[:8]:
        pair = (names[owner[first[place]]], names[owner[second[place]]])
        rows.append((*pair, f"{one[place]:.3f}", f"{other[place]:.3f}"))
    spread = np.arctanh(other.clip(-0.999, 0.999))
    margin = (np.arctanh(SAME) - spread.mean()) / spread.std()
    text = (
        f"{len(one):,} pairs of {len(every)} fingerprints of {len(originals)} images: {int((one >= CANDIDATE).sum())} "
        f"candidates, {int(together.sum())} taken for copies; largest correlations {one.max():.3f} coarse, "
        f"{other.max():.3f} fine.\n"
        f"The fine threshold lies {margin:.1f} standard deviations above the mean (Fisher's z)."
    )
    return f"{text}\n\n" + tabulate(rows, ("most alike", "", "coarse", "fine"), disable_numparse=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "folders", nargs="+", type=Path, metavar="FOLDER", help="folders of images, searched to any depth"
    )
    folders = parser.parse_args().folders
    files = sorted(path for folder in folders for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if len(files) < 2:
        raise ValueError(f"{', '.join(map(str, folders))}: at least two images are needed")
    images = [read_image(path) for path in tqdm(files, desc="reading", leave=False)]
    originals = [thumbnails(image) for image in images]
    print(copies_table(images, originals), pairs_table(originals, [path.name for path in files]), sep="\n\n")


if __name__ == "__main__":
    run_tool(main)

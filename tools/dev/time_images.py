#!/usr/bin/env python
"""Times reading of made-up radiographs: images per second in the first pass (decoded) and in the second (cache).

python tools/dev/time_images.py --images 8 --read-side 0 1024

Files and cache entries are dropped from the system's memory before each pass where the system offers that (Linux), so
both come from the disk, as in a pass over more images than fit in memory.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from tabulate import tabulate

from fx_d2.data.caching.reader import ImageReader
from fx_d2.phantoms.writing import write_dicom, write_metaimage
from fx_d2.tooling import run_tool

NOISE = 8.0  # standard deviation of a detector's noise, of 4095
HEADERS = ("format", "MB a file", "read side", "MB an entry", "first pass", "second pass", "(images/s)", "factor")


def make_image(seed: int, height: int, width: int) -> np.ndarray:
    """uint16 (H, W) of 12 bits: smooth shapes with the noise of a detector, so that it compresses like a radiograph."""
    rng = np.random.default_rng(seed)
    shapes = cv2.resize(rng.random((24, 20)), (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(2000 * shapes + 800 + NOISE * rng.standard_normal((height, width)), 0, 4095).astype(np.uint16)


WRITERS = {
    "DICOM JPEG 2000": lambda path, pixels: write_dicom(path, pixels, 12, "jpeg2000"),
    "DICOM plain": lambda path, pixels: write_dicom(path, pixels, 12),
    "MetaImage zlib": lambda path, pixels: write_metaimage(path.with_suffix(".mha"), pixels, compressed=True),
}


def forget(files: list[Path]) -> None:
    """Drops files from the system's memory, where that can be asked for."""
    if not hasattr(os, "posix_fadvise"):
        return
    for file in files:
        with file.open("rb") as stream:
            os.fsync(stream.fileno())
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure(files: list[Path], side: int, folder: Path) -> tuple[float, float, float]:
    """Images per second of the first and of the second pass, and MB of an entry of the cache."""
    reader, speeds = ImageReader(side, "auto", folder, 10**12), []
    for _ in range(2):
        forget([*files, *(path for path in folder.rglob("*") if path.is_file())])
        start = time.perf_counter()
        for file in files:
            reader(file)
        speeds.append(len(files) / (time.perf_counter() - start))
    stored = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return *speeds, sum(stored) / max(1, len(stored)) / 1e6


def table(images: int, height: int, width: int, sides: list[int], folder: Path) -> str:
    """A row for each format and side."""
    rows = []
    for number, (name, write) in enumerate(WRITERS.items()):
        source = folder / f"format{number}"
        source.mkdir()
        for seed in range(images):
            write(source / f"{seed}.dcm", make_image(seed, height, width))
        files = sorted(source.iterdir())
        size = sum(file.stat().st_size for file in files) / len(files) / 1e6
        for side in sides:
            first, second, entry = measure(files, side, folder / f"cache{number}-{side}")
            rows.append(
                (
                    name,
                    f"{size:.1f}",
                    side or "full",
                    f"{entry:.1f}",
                    f"{first:.1f}",
                    f"{second:.1f}",
                    "",
                    second / first,
                )
            )
    return tabulate(rows, HEADERS, floatfmt=".1f")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=8, help="files of each format (default: %(default)s)")
    parser.add_argument("--height", type=int, default=3056, help="pixels (default: %(default)s)")
    parser.add_argument("--width", type=int, default=2500, help="pixels (default: %(default)s)")
    parser.add_argument(
        "--read-side", type=int, nargs="+", default=[0, 1024], help="values of INPUT.READ_SIDE; 0: full size"
    )
    parser.add_argument("--folder", help="where the files are made (default: the folder for temporary files)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        print(table(args.images, args.height, args.width, args.read_side, Path(folder)))


if __name__ == "__main__":
    run_tool(main)

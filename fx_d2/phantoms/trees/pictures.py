"""Small fake radiographs in the file formats of the published datasets."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from pydicom.uid import generate_uid

from .. import writing


def chest(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A crude chest, two dark lungs in a bright trunk: uint8 (height, width). The seed moves and shades it."""
    rng = np.random.default_rng(seed)
    # Drawn small and enlarged: a tree of a hundred large images takes seconds, not a minute.
    y, x = np.mgrid[-1:1:64j, -1:1:64j].astype(np.float32)
    picture = 200 - 60 * x**2 - 20 * (y + 0.2) ** 2 + 10 * rng.standard_normal()
    dx, dy = rng.uniform(-0.06, 0.06, 2)
    for side in (-1, 1):
        inside = ((x - dx - side * 0.4) / 0.28) ** 2 + ((y - dy + 0.05) / 0.6) ** 2
        picture -= rng.uniform(90, 130) * np.exp(-(inside**3))
    # Texture of its own, or all of them would be one radiograph to a check for copies.
    picture += 8 * cv2.resize(rng.standard_normal((24, 24)), (64, 64), interpolation=cv2.INTER_CUBIC)
    return cv2.resize(np.clip(picture, 1, 254).astype(np.uint8), (width, height), interpolation=cv2.INTER_LINEAR)


def seed_of(path: Path) -> int:
    """Every file its own picture, the same one each time."""
    return zlib.crc32("/".join(path.parts[-3:]).encode())


def write_picture(path: Path, height: int, width: int, mode: str = "L") -> None:
    """A picture in the format that the suffix says (PNG, JPEG, GIF).

    Args:
        mode: Pillow's mode: ``L`` grey, ``RGB``, ``RGBA``, ``P`` (palette, in an order that is not the brightness).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = chest(height, width, seed_of(path))
    if mode == "P":  # the palette runs backwards, so that indices taken for grey values come out inverted
        picture = Image.fromarray(255 - pixels)
        picture.putpalette([value for level in range(255, -1, -1) for value in (level, level, level)])
    else:
        picture = Image.fromarray(pixels).convert(mode)
    picture.save(path)


def write_mask(path: Path, mask: np.ndarray, bits: int = 8) -> None:
    """A mask of 0 and 255, or of one bit, in the format that the suffix says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(mask.astype(np.uint8) * 255)
    (picture.convert("1") if bits == 1 else picture).save(path)


def write_dicom(path: Path, height: int, width: int, bits: int = 8, monochrome: int = 2, jpeg: bool = False) -> None:
    """A DICOM file of one grey image.

    Args:
        bits: bits stored, 8 to 16.
        monochrome: 1 (low is bright) or 2.
        jpeg: JPEG Baseline, as the two Kaggle challenges have it (8 bits only).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = chest(height, width, seed_of(path))
    if monochrome == 1:
        pixels = 255 - pixels
    stored = pixels if bits == 8 else pixels.astype(np.uint16) << (bits - 8)
    uid = generate_uid(entropy_srcs=[path.name])
    tags = {"PhotometricInterpretation": f"MONOCHROME{monochrome}", "SOPInstanceUID": uid}
    writing.write_dicom(path, stored, bits, "jpeg" if jpeg else "none", tags)


def write_mha(path: Path, height: int, width: int, compressed: bool = False) -> None:
    """A MetaImage file, 16 bit, plain or compressed (zlib)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = chest(height, width, seed_of(path)).astype(np.uint16) * 16
    writing.write_metaimage(path, pixels, (0.139, 0.139), compressed)


def write_raw(path: Path, side: int = 2048) -> None:
    """JSRT's form: no header, big-endian 16-bit words of 12-bit values, low is bright."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((4095 - (chest(side, side, seed_of(path)).astype(">u2") << 4)).astype(">u2").tobytes())


def write_text(path: Path, text: str, encoding: str = "utf-8") -> None:
    """A text file with its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding=encoding)


def write_gzip(path: Path, text: str) -> None:
    """A compressed text file with its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), mtime=0))

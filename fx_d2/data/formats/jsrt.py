"""Raw images of the JSRT database: 2048 x 2048 big-endian 16-bit words of 12 bits, low values bright, no header.

The database holds digitised films (0.175 mm a pixel): a word is the optical density's complement in 4096 steps.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import DataError
from .header import ImageHeader

SIDE = 2048
FILE_SIZE = SIDE * SIDE * 2
_BITS = 12
_SPACING = (0.175, 0.175)


def named_so(path: Path) -> bool:
    """Whether a file is named as the database names its images; nothing in the file itself tells."""
    return path.suffix.lower() == ".img"


def read_header(path: Path, kind: str) -> ImageHeader:
    """The fixed size, after checking that the file has exactly the bytes for it."""
    size = path.stat().st_size
    if size != FILE_SIZE:
        raise DataError(
            f"{path}: {size} bytes, but a raw JSRT image ({SIDE} x {SIDE} words of 16 bits) has exactly {FILE_SIZE}; "
            "copy it again, or rename it if it is of another kind"
        )
    return ImageHeader(kind, SIDE, SIDE, _BITS, _SPACING)


def read_pixels(path: Path, by_range: bool = False) -> np.ndarray:
    """uint8 (2048, 2048): the 12 bits onto 255..0, so that bone is bright, whatever the range in use.

    Raises:
        DataError: another file size, or words beyond 12 bits.
    """
    read_header(path, "jsrt")
    words = np.fromfile(path, ">u2")
    top = (1 << _BITS) - 1
    if words.size != SIDE * SIDE or words.max() > top:
        raise DataError(f"{path}: words above {top}, so these are not the big-endian 12-bit pixels of a JSRT image")
    table = np.rint((top - np.arange(top + 1)) * (255.0 / top)).astype(np.uint8)
    return table[words].reshape(SIDE, SIDE)

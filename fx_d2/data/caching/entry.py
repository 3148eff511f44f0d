"""One decoded image as a file: what a process leaves that is killed while writing is never taken for an image."""

from __future__ import annotations

import os
import struct
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_MAGIC = b"FXD2IMG1"
# Mark, key, height and width of the pixels, height and width of the image they were read from, checksum.
_HEADER = struct.Struct("<8s16s5I")
TEMPORARY = ".tmp"


@dataclass(frozen=True)
class Picture:
    """An image as it was read.

    Attributes:
        pixels: uint8 (h, w), perhaps reduced.
        size: height and width (H, W) of the image in its file, which annotations refer to.
    """

    pixels: np.ndarray
    size: tuple[int, int]


def write_entry(path: Path, key: bytes, picture: Picture) -> int:
    """Writes an entry under another name and moves it into place; returns its bytes.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    pixels = np.ascontiguousarray(picture.pixels)
    header = _HEADER.pack(_MAGIC, key, *pixels.shape, *picture.size, zlib.crc32(pixels.data))
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(TEMPORARY, dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(header)
            stream.write(pixels.data)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return len(header) + pixels.nbytes


def read_entry(path: Path, key: bytes) -> Picture | None:
    """An entry, or None where there is none or what is there is not whole.

    Raises:
        OSError: the file is there but cannot be read.
    """
    try:
        with path.open("rb") as stream:
            header = stream.read(_HEADER.size)
            data = np.fromfile(stream, np.uint8)
    except FileNotFoundError:
        return None
    if len(header) < _HEADER.size:
        return None
    magic, own_key, height, width, full_height, full_width, checksum = _HEADER.unpack(header)
    if (magic, own_key, height * width) != (_MAGIC, key, data.size) or zlib.crc32(data.data) != checksum:
        return None
    return Picture(data.reshape(height, width), (full_height, full_width))

"""One decoded image as a file. An incomplete file is never read as an image."""

from __future__ import annotations

import os
import struct
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_MAGIC = b"FXD2IMG1"
# Magic, key, height and width of the pixels, height and width of the image in its file, checksum.
_HEADER = struct.Struct("<8s16s5I")
TEMPORARY = ".tmp"


@dataclass(frozen=True)
class DecodedImage:
    """An image as it was read: uint8 (h, w), perhaps reduced, and the (height, width) that annotations refer to."""

    pixels: np.ndarray
    size: tuple[int, int]


def write_entry(path: Path, key: bytes, image: DecodedImage) -> int:
    """Writes an entry under a temporary name and moves it into place; returns its size in bytes.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    pixels = np.ascontiguousarray(image.pixels)
    header = _HEADER.pack(_MAGIC, key, *pixels.shape, *image.size, zlib.crc32(pixels.data))
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


def read_entry(path: Path, key: bytes) -> DecodedImage | None:
    """The image of an entry, or None if the entry is missing or damaged.

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
    magic, stored_key, height, width, full_height, full_width, checksum = _HEADER.unpack(header)
    if (magic, stored_key, height * width) != (_MAGIC, key, data.size) or zlib.crc32(data.data) != checksum:
        return None
    return DecodedImage(data.reshape(height, width), (full_height, full_width))

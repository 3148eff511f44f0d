"""Radiographs from PNG and JPEG files: 8-bit grey pixels, and their size from the header."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from .errors import DataError

SUFFIXES = (".png", ".jpg", ".jpeg")
_FORMATS = ("PNG", "JPEG")
_ORIENTATION_TAG = 0x0112
# Depths in which devices store radiographs; odd ones do not occur, and fewer steps keep ordinary pictures unscaled.
_DEPTHS = (8, 10, 12, 14, 16)
_TAIL = 4096


def read_image(path: str | Path) -> np.ndarray:
    """Reads a radiograph.

    Colour becomes luminance (ITU-R 601; equal channels stay exactly as they are), palettes are looked up and alpha is
    dropped. 8-bit values are kept. A 16-bit file often holds 10, 12 or 14 bits: its depth is taken as the smallest of
    8, 10, 12, 14, 16 bits that holds 99.9 % of its pixels, that range is scaled to 0..255, and what lies above (a
    burnt-in marker) is white. Low stays dark: nothing is inverted. The orientation tag that cameras write
    into JPEG files is applied, as viewers do.

    Returns:
        uint8 array (H, W).

    Raises:
        DataError: the file is missing, cut short, or neither PNG nor JPEG.
    """
    return _to_uint8(_to_grey(_decode(Path(path))))


def read_mask(path: str | Path) -> np.ndarray:
    """Reads a mask picture: boolean array (H, W), True where any colour channel is not zero.

    Raises:
        DataError: as :func:`read_image`.
    """
    pixels = _decode(Path(path))
    return pixels != 0 if pixels.ndim == 2 else (pixels[..., :3] != 0).any(axis=2)


def image_size(path: str | Path) -> tuple[int, int]:
    """Height and width of an image as :func:`read_image` gives it, read from the file's header.

    Raises:
        DataError: the file is missing, empty, cut short, or neither PNG nor JPEG.
    """
    path = Path(path)
    try:
        with Image.open(path, formats=_FORMATS) as image:
            width, height = image.size
            turned = _orientation(image) >= 5
            if not _has_end(path):
                image.load()  # an unusual ending, or a file cut short: only decoding tells
    except (OSError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise _unreadable(path, error) from None
    return (width, height) if turned else (height, width)


def _unreadable(path: Path, error: object) -> DataError:
    if not path.is_file():
        return DataError(f"{path}: no such image file")
    if path.stat().st_size == 0:
        return DataError(f"{path}: the image file is empty; copy it again")
    return DataError(f"{path}: cannot be read as PNG or JPEG ({error}); replace the file or take it out of the lists")


def _has_end(path: Path) -> bool:
    """Whether the file ends as a complete PNG or JPEG does; a cheap sign against interrupted copies."""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - _TAIL))
        tail = stream.read()
    return b"IEND" in tail or b"\xff\xd9" in tail


def _orientation(image: Image.Image) -> int:
    """The camera's orientation tag in a JPEG file, 1 (upright) where there is none."""
    if image.format == "PNG":  # asking would decode all of it, and viewers do not turn PNG files
        return 1
    value = image.getexif().get(_ORIENTATION_TAG, 1)
    return value if value in range(1, 9) else 1


def _decode(path: Path) -> np.ndarray:
    """The pixels as stored, (H, W) or (H, W, 3 or 4) in the order blue, green, red, turned upright."""
    try:
        data = path.read_bytes()
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            orientation = _orientation(image)
            if not _has_end(path):
                image.load()
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except (OSError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError, cv2.error) as error:
        raise _unreadable(path, error) from None
    if pixels is None:
        raise _unreadable(path, "damaged or cut short")
    return _upright(pixels, orientation)


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undoes the eight orientations of the Exif standard."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _to_grey(pixels: np.ndarray) -> np.ndarray:
    if pixels.ndim == 2:
        return pixels
    return cv2.cvtColor(np.ascontiguousarray(pixels[..., :3]), cv2.COLOR_BGR2GRAY)


def _to_uint8(grey: np.ndarray) -> np.ndarray:
    if grey.dtype == np.uint8:
        return grey
    histogram = np.bincount(grey.ravel(), minlength=1 << 16)
    bulk = int(np.searchsorted(histogram.cumsum(), 0.999 * grey.size))
    depth = next(bits for bits in _DEPTHS if bulk < 1 << bits)
    top = (1 << depth) - 1
    return np.rint(np.minimum(grey, top) * (255.0 / top)).astype(np.uint8)

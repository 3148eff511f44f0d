"""PNG and JPEG radiographs, and GIF masks."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from ..errors import DataError
from .header import ImageHeader, check_size
from .intensity import to_uint8

_FORMATS = ("PNG", "JPEG", "GIF")
_ORIENTATION_TAG = 0x0112
_TAIL = 4096
# What Pillow and OpenCV raise for damaged files.
_DAMAGE = (
    OSError,
    EOFError,
    SyntaxError,
    ValueError,
    UnidentifiedImageError,
    Image.DecompressionBombError,
    cv2.error,
)


def read_header(path: Path, kind: str) -> ImageHeader:
    """Size and depth from the file's header; an unusual ending makes it decode the whole file."""
    try:
        with Image.open(path, formats=_FORMATS) as image:
            width, height = image.size
            check_size(path, height, width)
            turned = _orientation(image) >= 5
            bits = _bits(path, image)
            if not _has_end(path):
                image.load()  # an unusual ending, or a file cut short: only decoding tells
    except DataError:
        raise
    except _DAMAGE as error:
        raise _unreadable(path, error) from None
    return ImageHeader(kind, width, height, bits) if turned else ImageHeader(kind, height, width, bits)


def read_pixels(path: Path, by_range: bool = False) -> np.ndarray:
    """uint8 (H, W) as :func:`fx_d2.data.images.read_image` describes it."""
    return to_uint8(_to_grey(_decode(path)), by_range)


def read_levels(path: Path, kind: str) -> np.ndarray:
    """uint8 or uint16 (H, W): the largest of a pixel's colours, for masks."""
    pixels = _decode_gif(path) if kind == "gif" else _decode(path)
    if pixels.ndim == 2:
        return pixels
    first, second, third = cv2.split(pixels)[:3]
    return cv2.max(cv2.max(first, second), third)


def read_numbers(path: Path) -> np.ndarray:
    """uint8 or uint16 (H, W): the stored numbers of a grey or palette PNG, or of colour whose channels agree."""
    try:
        with Image.open(path, formats=("PNG",)) as image:
            check_size(path, image.size[1], image.size[0])
            pixels, bits = np.asarray(image), _bits(path, image)
            if image.mode == "L" and bits < 8:  # grey of 2 or 4 bits is stretched to 0..255 as it is read
                pixels = pixels // (255 // ((1 << bits) - 1))
    except DataError:
        raise
    except _DAMAGE as error:
        raise _unreadable(path, error) from None
    if pixels.ndim == 3:
        colours = pixels[..., : 3 if pixels.shape[2] > 2 else 1]
        if (colours != colours[..., :1]).any():
            raise DataError(f"{path}: a label map in colour; write one number a pixel, as grey or with a palette")
        pixels = colours[..., 0]
    return pixels.astype(np.uint8 if pixels.dtype.itemsize == 1 else np.uint16, copy=False)


def _unreadable(path: Path, error: object) -> DataError:
    return DataError(f"{path}: cannot be read as PNG, JPEG or GIF ({error}); replace the file or take it out")


def _has_end(path: Path) -> bool:
    """Whether the file ends as a complete one does; a cheap sign against interrupted copies."""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - _TAIL))
        tail = stream.read()
    return b"IEND" in tail or b"\xff\xd9" in tail


def _check_chunks(data: bytes) -> None:
    """Raises OSError where a chunk of a PNG reaches past the end: OpenCV asks for its memory before it notices."""
    start, kind = 8, b""
    while kind != b"IEND":
        length, kind = int.from_bytes(data[start : start + 4], "big"), data[start + 4 : start + 8]
        start += 12 + length
        if start > len(data):
            raise OSError("cut short, or a damaged chunk")


def _orientation(image: Image.Image) -> int:
    """The camera's orientation tag in a JPEG file, 1 (upright) where there is none."""
    if image.format != "JPEG":  # asking a PNG would decode all of it, and viewers do not turn PNG files
        return 1
    value = image.getexif().get(_ORIENTATION_TAG, 1)
    return value if value in range(1, 9) else 1


def _bits(path: Path, image: Image.Image) -> int:
    """Bits of a sample; of a palette's colours, which are what is read, 8."""
    if image.format != "PNG" or image.mode == "P":
        return 8
    with path.open("rb") as stream:
        return stream.read(25)[24]  # the byte behind width and height in the first chunk


def _decode(path: Path) -> np.ndarray:
    """The pixels as stored, (H, W) or (H, W, 3 or 4) in the order blue, green, red, turned upright."""
    try:
        data = path.read_bytes()
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            check_size(path, image.size[1], image.size[0])
            orientation = _orientation(image)
            if image.format == "PNG":
                _check_chunks(data)
            elif not _has_end(path):
                image.load()
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except DataError:
        raise
    except _DAMAGE as error:
        raise _unreadable(path, error) from None
    if pixels is None:
        raise _unreadable(path, "damaged or cut short")
    return _upright(pixels, orientation)


def _decode_gif(path: Path) -> np.ndarray:
    """The colours (H, W, 3) of a GIF file of one picture."""
    try:
        with Image.open(path, formats=_FORMATS) as image:
            check_size(path, image.size[1], image.size[0])
            if getattr(image, "n_frames", 1) > 1:
                raise DataError(f"{path}: a GIF of {image.n_frames} pictures; a mask has one")
            return np.asarray(image.convert("RGB"))
    except DataError:
        raise
    except _DAMAGE as error:
        raise _unreadable(path, error) from None


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

"""TIFF, BMP and WebP radiographs."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ..errors import DataError
from .header import ImageHeader, check_size
from .intensity import to_uint8

_FORMATS = ("TIFF", "BMP", "WEBP")
# Tags of TIFF.
_SUBFILE, _BITS, _PHOTOMETRIC, _ORIENTATION = 254, 258, 262, 274
_PARTS = ((273, 279), (324, 325))  # where strips or tiles begin, and their bytes
_DAMAGE = (
    OSError,
    EOFError,
    SyntaxError,
    ValueError,
    LookupError,
    TypeError,
    struct.error,
    UnidentifiedImageError,
    Image.DecompressionBombError,
)


def read_header(path: Path, kind: str) -> ImageHeader:
    """Size and depth; the pixels are not decoded, but the file must be as long as it says."""
    try:
        with Image.open(path, formats=_FORMATS) as image:
            _check(path, image)
            end, length = _end(path, image), path.stat().st_size
            if end > length:
                raise DataError(f"{path}: {length} of {end} bytes; the file was cut short: copy it again")
            width, height = image.size
            if kind == "webp" and image.getexif().get(_ORIENTATION, 1) >= 5:
                width, height = height, width
            bits = int(image.tag_v2.get(_BITS, (1,))[0]) if kind == "tiff" else 8
    except DataError:
        raise
    except _DAMAGE as error:
        raise _unreadable(path, error) from None
    return ImageHeader(kind, height, width, bits)


def read_pixels(path: Path, by_range: bool = False) -> np.ndarray:
    """uint8 (H, W) as :func:`fx_d2.data.images.read_image` describes it."""
    try:
        with Image.open(path, formats=_FORMATS) as image:
            _check(path, image)
            tags = getattr(image, "tag_v2", {})
            # White is zero: Pillow inverts 8 bits and fewer itself.
            inverted = image.format == "TIFF" and tags.get(_PHOTOMETRIC) == 0 and image.mode[0] in "IF"
            image.load()
            if image.format == "WEBP":
                image = _upright(image)
            grey = to_uint8(_to_grey(image), by_range)
    except DataError as error:
        raise DataError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from None
    except _DAMAGE as error:
        raise _unreadable(path, error) from None
    return 255 - grey if inverted else grey


def _unreadable(path: Path, error: object) -> DataError:
    return DataError(f"{path}: cannot be read as TIFF, BMP or WebP ({error}); replace the file or take it out")


def _check(path: Path, image: Image.Image) -> None:
    """Refuses sizes that no radiograph has, several pictures in a file, and 16-bit colour."""
    check_size(path, image.size[1], image.size[0])
    pages = sum(_is_page(image, number) for number in range(getattr(image, "n_frames", 1)))
    if pages != 1:
        raise DataError(f"{path}: {pages} pictures in one file; a radiograph has one: write it to a file of its own")
    image.seek(0)
    bits = getattr(image, "tag_v2", {}).get(_BITS, (8,))
    if len(bits) >= 3 and bits[0] > 8:
        raise DataError(f"{path}: colour of {bits[0]} bits is not read; write it as grey, or as 8-bit colour")


def _is_page(image: Image.Image, number: int) -> bool:
    """Whether a picture of a file is more than a small version of another one."""
    image.seek(number)
    return not getattr(image, "tag_v2", {}).get(_SUBFILE, 0) & 1


def _end(path: Path, image: Image.Image) -> int:
    """The bytes that the file has by its own account; 0 where it does not say."""
    if image.format == "TIFF":
        tags = image.tag_v2  # type: ignore[attr-defined]
        parts = [zip(tags[starts], tags[sizes], strict=True) for starts, sizes in _PARTS if starts in tags]
        return max((start + size for part in parts for start, size in part), default=0)
    with path.open("rb") as stream:
        head = stream.read(8)
    return int.from_bytes(head[2:6], "little") if image.format == "BMP" else int.from_bytes(head[4:8], "little") + 8


def _upright(image: Image.Image) -> Image.Image:
    """Applies the camera's orientation tag of a WebP file, as browsers do; Pillow does it for TIFF itself."""
    return ImageOps.exif_transpose(image)


def _to_grey(image: Image.Image) -> np.ndarray:
    if image.mode in ("1", "L", "I", "F") or image.mode.startswith("I;16"):
        pixels = np.asarray(image)
        return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    if image.mode == "LA":
        return np.asarray(image.getchannel(0))
    return cv2.cvtColor(np.asarray(image.convert("RGB")), cv2.COLOR_RGB2GRAY)

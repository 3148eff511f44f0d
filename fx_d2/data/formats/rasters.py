"""TIFF, BMP and WebP radiographs and masks."""

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
_SUBFILE, _BITS, _COMPRESSION, _PHOTOMETRIC, _ORIENTATION = 254, 258, 259, 262, 274
_JPEG = (6, 7)  # compressions
_PARTS = ((273, 279), (324, 325))  # where strips or tiles begin, and their bytes
_ONE_NUMBER = ("1", "L", "I", "F", "I;16", "I;16L", "I;16B", "I;16N")  # modes of Pillow without palette or colours
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


def read_levels(path: Path) -> np.ndarray:
    """uint8 or uint16 (H, W): the largest of a pixel's colours, for masks; what is more than 16 bits is scaled.

    Raises:
        DataError: as :func:`read_pixels`; or there are values below 0, or more than 8 bits whose 0 is white.
    """
    image, white_is_zero = _load(path)
    if image.mode in _ONE_NUMBER:
        levels = _native(image)
        if white_is_zero and image.mode not in ("1", "L"):
            raise DataError(f"{path}: a mask of more than 8 bits whose 0 is white; write it with black as 0")
        if levels.dtype.itemsize > 2:
            top = float(levels.max())
            if not np.isfinite(top) or levels.min() < 0:
                raise DataError(f"{path}: a mask with values below 0 or that are no numbers; write 0 and 255")
            levels = np.rint(levels * (65535 / (top or 1)))
        return levels.astype(np.uint8 if levels.dtype.itemsize == 1 else np.uint16, copy=False)
    if image.mode == "LA":
        return np.asarray(image.getchannel(0))
    return np.asarray(image.convert("RGB")).max(axis=2)


def read_numbers(path: Path) -> np.ndarray:
    """uint8 or uint16 (H, W): the stored numbers of grey, of a palette, or of colour whose channels agree.

    Raises:
        DataError: as :func:`read_pixels`; or the compression is lossy, 0 is white, the picture is in colour, or holds
            what is no whole number from 0 to 65535.
    """
    if is_lossy(path):
        raise DataError(
            f"{path}: a label map with lossy compression, which changes its numbers; write PNG, or TIFF or WebP "
            "without loss"
        )
    image, white_is_zero = _load(path)
    if white_is_zero:
        raise DataError(f"{path}: a label map whose 0 is white; write it with black as 0, which is background")
    if image.mode == "P":
        return np.asarray(image)
    if image.mode in _ONE_NUMBER:
        pixels = _native(image)
        if pixels.dtype.itemsize > 2 and not ((pixels >= 0) & (pixels < 1 << 16) & (pixels == np.rint(pixels))).all():
            raise DataError(f"{path}: a label map holds whole numbers from 0 to 65535, and this one does not")
        bits = int(getattr(image, "tag_v2", {}).get(_BITS, (8,))[0])
        # Grey of 2 or 4 bits is stretched to 0..255 as it is read.
        pixels = pixels // (255 // ((1 << bits) - 1)) if image.mode == "L" and bits < 8 else pixels
        return pixels.astype(np.uint8 if pixels.dtype.itemsize == 1 else np.uint16, copy=False)
    colours = np.asarray(image.convert("RGB"))
    if (colours != colours[..., :1]).any():
        raise DataError(f"{path}: a label map in colour; write one number a pixel, as grey or with a palette")
    return colours[..., 0]


def is_lossy(path: Path) -> bool:
    """Whether the pixels of a TIFF, BMP or WebP file went through a compression that changes them."""
    try:
        with Image.open(path, formats=_FORMATS) as image:
            if image.format == "TIFF":
                return image.tag_v2.get(_COMPRESSION) in _JPEG
            webp = image.format == "WEBP"
        data = path.read_bytes() if webp else b""
    except _DAMAGE as error:
        raise _unreadable(path, error) from None
    start = 12
    while start + 8 <= len(data):
        if data[start : start + 4] == b"VP8 ":
            return True
        length = int.from_bytes(data[start + 4 : start + 8], "little")
        start += 8 + length + length % 2
    return False


def _load(path: Path) -> tuple[Image.Image, bool]:
    """The picture, upright, and whether its file says that 0 is white."""
    try:
        with Image.open(path, formats=_FORMATS) as image:
            _check(path, image)
            white_is_zero = image.format == "TIFF" and getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == 0
            image.load()
            # Of TIFF files Pillow applies the camera's tag itself, browsers that of WebP.
            return _upright(image) if image.format == "WEBP" else image.copy(), white_is_zero
    except DataError:
        raise
    except _DAMAGE as error:
        raise _unreadable(path, error) from None


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


def _native(image: Image.Image) -> np.ndarray:
    """The numbers of a picture that has one a pixel, in the byte order of this computer."""
    pixels = np.asarray(image)
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)


def _to_grey(image: Image.Image) -> np.ndarray:
    if image.mode in _ONE_NUMBER:
        return _native(image)
    if image.mode == "LA":
        return np.asarray(image.getchannel(0))
    return cv2.cvtColor(np.asarray(image.convert("RGB")), cv2.COLOR_RGB2GRAY)

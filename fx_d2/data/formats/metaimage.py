"""MetaImage files: ``.mha`` (header and pixels in one) and ``.mhd`` with its raw file, plain or zlib-compressed.

The format is a text header over raw numbers (https://itk.org/Wiki/ITK/MetaIO/Documentation); it is read here since
the libraries for it weigh a quarter of a gigabyte and tell of damaged files on the error stream only.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import DataError
from .header import ImageHeader, check_size
from .intensity import to_uint8

_TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
_LONGEST_HEADER = 1 << 16


@dataclass(frozen=True)
class _Layout:
    """Where the pixels are and what they are."""

    height: int
    width: int
    dtype: np.dtype
    spacing: tuple[float, float] | None
    file: Path
    start: int  # bytes before the pixels; -1: they are the last bytes of the file
    compressed: bool

    @property
    def bytes(self) -> int:
        return self.height * self.width * self.dtype.itemsize


def read_header(path: Path, kind: str) -> ImageHeader:
    """Size, depth and spacing from the text header, after checking that the pixels can all be there."""
    layout = _read_layout(path)
    return ImageHeader(kind, layout.height, layout.width, layout.dtype.itemsize * 8, layout.spacing)


def sources(path: Path) -> tuple[Path, ...]:
    """The files that an image is read from: the header, and the file of pixels where it is another."""
    layout = _read_layout(path)
    return (path,) if layout.file == path else (path, layout.file)


def read_pixels(path: Path, by_range: bool = False) -> np.ndarray:
    """uint8 (H, W); low stays dark, depth as :func:`fx_d2.data.formats.intensity.to_uint8` finds it."""
    layout = _read_layout(path)
    with layout.file.open("rb") as stream:
        stream.seek(layout.start if layout.start >= 0 else layout.file.stat().st_size - layout.bytes)
        data = stream.read() if layout.compressed else stream.read(layout.bytes)
    if layout.compressed:
        data = _inflate(path, data, layout.bytes)
    if len(data) != layout.bytes:
        raise _cut_short(path, len(data), layout.bytes)
    pixels = np.frombuffer(data, layout.dtype).reshape(layout.height, layout.width)
    try:
        return to_uint8(pixels.astype(layout.dtype.newbyteorder("="), copy=False), by_range)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _cut_short(path: Path, found: int, needed: int) -> DataError:
    return DataError(f"{path}: {found} of {needed} bytes of pixels; the file was cut short: copy it again")


def _inflate(path: Path, data: bytes, size: int) -> bytes:
    """Undoes zlib up to ``size`` bytes: a wrong header must not fill the memory."""
    try:
        return zlib.decompressobj().decompress(data, size)
    except zlib.error as error:
        raise DataError(f"{path}: the compressed pixels are damaged ({error}); copy the file again") from None


def _read_fields(path: Path) -> tuple[dict[str, str], int]:
    """The lines ``key = value`` of the header up to ElementDataFile, and the bytes that they take."""
    with path.open("rb") as stream:
        head = stream.read(_LONGEST_HEADER)
    fields: dict[str, str] = {}
    start = 0
    while "ElementDataFile" not in fields:
        end = head.find(b"\n", start)
        key, sign, value = head[start : end if end >= 0 else len(head)].decode("latin-1").partition("=")
        if not sign:
            raise DataError(f"{path}: the MetaImage header breaks off before ElementDataFile; copy the file again")
        fields[key.strip()] = value.strip()
        start = end + 1 if end >= 0 else len(head)
    return fields, start


def _read_layout(path: Path) -> _Layout:
    fields, start = _read_fields(path)
    height, width, spacing = _geometry(path, fields)
    check_size(path, height, width)
    dtype = np.dtype(
        (">" if _flag(fields, "BinaryDataByteOrderMSB", "ElementByteOrderMSB") else "<") + _type(path, fields)
    )
    file = path
    name = fields["ElementDataFile"]
    if name.upper() != "LOCAL":
        file, start = path.parent / name, _number(path, fields, "HeaderSize", 0)
        if not file.is_file():
            raise DataError(f"{path}: its file of pixels {name!r} is not beside it")
    layout = _Layout(height, width, dtype, spacing, file, start, _flag(fields, "CompressedData"))
    found = file.stat().st_size - max(start, 0)
    if found < (1 if layout.compressed else layout.bytes):
        raise _cut_short(path, max(found, 0), layout.bytes)
    packed = _number(path, fields, "CompressedDataSize", 0)
    if layout.compressed and found < packed:
        raise _cut_short(path, found, packed)
    return layout


def _geometry(path: Path, fields: dict[str, str]) -> tuple[int, int, tuple[float, float] | None]:
    """Height, width and spacing; further axes must be of length 1."""
    try:
        sizes = [int(text) for text in fields["DimSize"].split()]
        spacing = [float(text) for text in fields.get("ElementSpacing", fields.get("ElementSize", "")).split()]
    except (KeyError, ValueError):
        raise DataError(f"{path}: DimSize or ElementSpacing of the MetaImage header is missing or damaged") from None
    if len(sizes) < 2 or any(size != 1 for size in sizes[2:]):
        raise DataError(f"{path}: DimSize {fields['DimSize']} is not one two-dimensional image")
    # Writers that do not know the spacing put the format's default of 1; a pixel of a radiograph is far smaller.
    across = spacing[:2]
    known = len(across) == 2 and across != [1.0, 1.0] and all(math.isfinite(mm) and mm > 0 for mm in across)
    return sizes[1], sizes[0], (across[1], across[0]) if known else None


def _type(path: Path, fields: dict[str, str]) -> str:
    name, channels = fields.get("ElementType", ""), fields.get("ElementNumberOfChannels", "1")
    if name not in _TYPES or channels != "1":
        raise DataError(f"{path}: ElementType {name or 'missing'} with {channels} channel(s) is not a grey image")
    if not _flag(fields, "BinaryData", default="True"):
        raise DataError(f"{path}: pixels written as text are not read; write the file in binary form")
    return _TYPES[name]


def _number(path: Path, fields: dict[str, str], key: str, default: int) -> int:
    try:
        return int(fields.get(key, default))
    except ValueError:
        raise DataError(f"{path}: {key} {fields[key]!r} of the MetaImage header is not a whole number") from None


def _flag(fields: dict[str, str], *keys: str, default: str = "False") -> bool:
    """A True/False field; several names of it are tried in turn."""
    value = next((fields[key] for key in keys if key in fields), default)
    return value.lower() in ("true", "t", "1")

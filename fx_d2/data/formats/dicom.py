"""DICOM radiographs: the header, the pixels, and what is missing when they cannot be decoded."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import apply_color_lut, get_decoder, pixel_array
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from ..errors import DataError
from .dicom_display import display_table, doubts, look_up
from .dicom_streams import guess_syntax
from .header import ImageHeader, check_size
from .quiet import quiet_pydicom

_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
_DELIMITER = b"\xfe\xff\xdd\xe0"
_ITEM = b"\xfe\xff\x00\xe0"
_TAIL = 4096
_GREY = ("MONOCHROME1", "MONOCHROME2")

# What to install for a transfer syntax that no installed plug-in decodes.
_JPEG_LOSSLESS = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
_JPEG_LS = ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81")
_JPEG_2000 = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")
_HTJ2K = ("1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.202", "1.2.840.10008.1.2.4.203")
_JPEG = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51")
# Plug-ins in the order in which they are tried; "" is any.
_USUAL = {
    _JPEG[0]: ("pillow",),
    _JPEG[1]: ("pillow", ""),  # 12 bits are beyond Pillow: any other may try
    **dict.fromkeys(_JPEG_2000, ("pylibjpeg", "pillow")),
    **dict.fromkeys(_JPEG_LS, ("pyjpegls",)),
    RLELossless: ("pydicom",),
}
_PLUGINS = {
    **dict.fromkeys(_JPEG_LOSSLESS, "python-gdcm"),
    **dict.fromkeys(_JPEG_LS, "pyjpegls"),
    **dict.fromkeys((*_JPEG_2000, *_HTJ2K), "pylibjpeg pylibjpeg-openjpeg"),
    # 12-bit JPEG, which Pillow and GDCM cannot; its licence is the GPL, so the choice is the user's.
    _JPEG[1]: "pylibjpeg-libjpeg (under the GPL)",
}


def read_header(path: Path, kind: str) -> ImageHeader:
    """Size, depth and spacing; the pixels are not read, but they must be there in full."""
    with _damage_named(path), _open(path) as stream:
        dataset = _parse(stream, stop_before_pixels=True)
        height, width = _size(path, dataset)
        _check_whole(path, dataset, stream, height, width)
        return ImageHeader(kind, height, width, int(dataset.get("BitsStored") or 8), _spacing(dataset), doubts(dataset))


def read_pixels(path: Path, by_range: bool = False) -> np.ndarray:
    """uint8 (H, W) as the display pipeline of the standard shows it: air dark, bone bright."""
    with _damage_named(path):
        with _open(path) as stream:
            dataset = _parse(stream)
        height, width = _size(path, dataset)
        if "PixelData" not in dataset:
            raise DataError(f"{path}: the DICOM file has no pixels (PixelData)")
        syntax = _syntax(dataset)
        dataset.file_meta.TransferSyntaxUID = syntax
        _check_decodable(path, syntax)
    try:
        with quiet_pydicom():
            image = _image(path, dataset, syntax, by_range)
    except DataError:
        raise
    except Exception as error:  # decoders and plug-ins raise whatever they like
        raise DataError(f"{path}: {_undecodable(syntax, error)}") from None
    if image.shape != (height, width):
        raise DataError(f"{path}: decoded to {image.shape}, but the header gives ({height}, {width}); replace the file")
    return image


def read_dataset(path: Path) -> Dataset:
    """All that the file holds, in whatever form :func:`read_pixels` puts up with; the transfer syntax is filled in."""
    with _damage_named(path):
        with _open(path) as stream:
            dataset = _parse(stream)
        dataset.file_meta.TransferSyntaxUID = _syntax(dataset)
        return dataset


def _image(path: Path, dataset: Dataset, syntax: UID, by_range: bool) -> np.ndarray:
    if dataset.PhotometricInterpretation not in _GREY:
        return _luminance(path, dataset)
    pixels = _decode(dataset, syntax, raw=True, correct_unused_bits=False)
    pixels = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("="))
    unused_bits = not syntax.is_compressed or syntax == RLELossless  # code streams have none
    table = display_table(path, dataset, pixels, unused_bits, by_range)
    return look_up(table, pixels.view(f"u{pixels.itemsize}"))


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """One error for a damaged header, whose values pydicom converts when they are asked for."""
    try:
        with quiet_pydicom():
            yield
    except DataError:
        raise
    except Exception as error:  # pydicom raises whatever a damaged header makes it stumble over
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: the DICOM header is damaged ({reason}); copy the file again") from None


def _open(path: Path) -> BinaryIO:
    """The file, with the 128 bytes in front of the mark DICM if just these were left out."""
    stream = path.open("rb")
    if stream.read(4) != b"DICM":
        stream.seek(0)
        return stream
    with stream:
        return io.BytesIO(bytes(128) + b"DICM" + stream.read())


def _parse(stream: BinaryIO, stop_before_pixels: bool = False) -> Dataset:
    """The data set; a missing preamble or file meta group is put up with."""
    dataset = dcmread(stream, force=True, stop_before_pixels=stop_before_pixels)
    if not hasattr(dataset, "file_meta"):
        dataset.file_meta = FileMetaDataset()
    return dataset


def _size(path: Path, dataset: Dataset) -> tuple[int, int]:
    """Rows and columns, after checking that this is one grey or colour image."""
    missing = [key for key in ("Rows", "Columns", "BitsAllocated", "PhotometricInterpretation") if key not in dataset]
    if missing:
        modality = str(dataset.get("Modality", ""))
        raise DataError(
            f"{path}: not an image: the DICOM header{f' of modality {modality}' if modality.isalnum() else ''} has no "
            f"{', '.join(missing)}; the file was cut short, or is a report or a directory: take it out of the lists"
        )
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames > 1:
        raise DataError(f"{path}: {frames} frames in one DICOM file; a radiograph has one: write the frame to a file")
    if dataset.BitsAllocated not in (8, 16):
        raise DataError(f"{path}: BitsAllocated {dataset.BitsAllocated}; a radiograph has 8 or 16")
    height, width = int(dataset.Rows or 0), int(dataset.Columns or 0)
    check_size(path, height, width)
    return height, width


def _syntax(dataset: Dataset) -> UID:
    """The transfer syntax; where the file does not name it, the one that its bytes show."""
    named = dataset.file_meta.get("TransferSyntaxUID")
    if named:
        return UID(named)
    if "PixelData" in dataset and dataset.PixelData.startswith(_ITEM):
        return guess_syntax(dataset.PixelData)
    implicit, little = dataset.original_encoding
    if implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if little else ExplicitVRBigEndian


def _check_whole(path: Path, dataset: Dataset, stream: BinaryIO, height: int, width: int) -> None:
    """Whether the pixels, which begin where the stream stands, are all in the file."""
    begin, end = stream.tell(), stream.seek(0, os.SEEK_END)
    syntax = UID(dataset.file_meta.get("TransferSyntaxUID") or ImplicitVRLittleEndian)
    if syntax.is_deflated:
        return
    stream.seek(begin)
    if stream.read(4)[:4] not in (b"\xe0\x7f\x10\x00", b"\x7f\xe0\x00\x10"):
        raise DataError(f"{path}: the DICOM file has no pixels (PixelData), or was cut short before them")
    compressed = syntax.is_compressed or _ITEM in stream.read(16)
    if not compressed:
        needed = height * width * int(dataset.get("SamplesPerPixel") or 1) * dataset.BitsAllocated // 8
        found = max(0, end - begin - 8)
        if found < needed:
            raise DataError(f"{path}: {found} of {needed} bytes of pixels; the file was cut short: copy it again")
        return
    for start in (max(begin, end - _TAIL), begin):  # whole files end with the delimiter; few have more behind it
        stream.seek(start)
        if _DELIMITER in stream.read():
            return
    raise DataError(f"{path}: the compressed pixels have no end; the file was cut short: copy it again")


def _spacing(dataset: Dataset) -> tuple[float, float] | None:
    for key in _SPACINGS:
        try:
            row, column = (float(value) for value in dataset.get(key) or ())
        except (TypeError, ValueError):
            continue
        if row > 0 and column > 0:
            return row, column
    return None


def _check_decodable(path: Path, syntax: UID) -> None:
    """Names what to install for a compression that nothing installed here decodes."""
    if not syntax.is_compressed:
        return
    try:
        installed = get_decoder(syntax).available_plugins
    except NotImplementedError:
        raise DataError(f"{path}: transfer syntax {syntax.name} ({syntax}) is not one of single images") from None
    if not installed or not any(plugin in ("", *installed) for plugin in _USUAL.get(syntax, ("",))):
        plugin = _PLUGINS.get(syntax, "python-gdcm")
        raise DataError(f"{path}: compressed as {syntax.name}, which needs a plug-in: pip install {plugin}")


def _decode(dataset: Dataset, syntax: UID, **options) -> np.ndarray:
    """The pixels by the plug-ins that everybody has, or else by any other that is installed.

    Decoders of lossy JPEG differ in the last bit: which one is used must not depend on what else is installed. GDCM
    is kept to what only it decodes for another reason: a damaged stream can make it end the process.
    """
    *first, last = _USUAL.get(syntax, ("",))
    for plugin in first:
        try:
            return pixel_array(dataset, decoding_plugin=plugin, **options)
        except Exception:  # of whatever kind; if the last one fails, too, what it says is told
            continue
    return pixel_array(dataset, decoding_plugin=last, **options)


def _undecodable(syntax: UID, error: Exception) -> str:
    reason = " ".join(str(error).split())
    plugin = _PLUGINS.get(syntax) if syntax.is_compressed else None
    also = f"; if the file is whole, another decoder may read it: pip install {plugin}" if plugin else ""
    return f"the pixels ({syntax.name}) cannot be decoded: {reason or type(error).__name__}; replace the file{also}"


def _luminance(path: Path, dataset: Dataset) -> np.ndarray:
    """uint8 (H, W) of a colour image."""
    photometric = dataset.PhotometricInterpretation
    pixels = _decode(dataset, dataset.file_meta.TransferSyntaxUID)  # in RGB, whatever the file holds
    if photometric == "PALETTE COLOR":
        pixels = apply_color_lut(pixels, dataset)
        pixels = (pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 else pixels
    if pixels.dtype != np.uint8 or pixels.ndim != 3:
        raise DataError(
            f"{path}: {photometric} pixels of {pixels.dtype} are not read; write them as 8-bit colour or grey"
        )
    return cv2.cvtColor(np.ascontiguousarray(pixels[..., :3]), cv2.COLOR_RGB2GRAY)

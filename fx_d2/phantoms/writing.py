"""Writes small DICOM and MetaImage files, for made-up datasets, tests and timings; not a clinical writer."""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
    generate_uid,
)

COMPRESSIONS = {
    "none": ExplicitVRLittleEndian,
    "implicit": ImplicitVRLittleEndian,
    "jpeg": JPEGBaseline8Bit,
    "jpeg2000": JPEG2000Lossless,
    "rle": RLELossless,
}
_ELEMENT_TYPES = {"u1": "MET_UCHAR", "i2": "MET_SHORT", "u2": "MET_USHORT", "f4": "MET_FLOAT", "f8": "MET_DOUBLE"}


def write_dicom(
    path: str | Path,
    pixels: np.ndarray,
    bits: int | None = None,
    compression: str = "none",
    tags: Mapping[str, Any] | None = None,
) -> Dataset:
    """Writes pixels as a grey DICOM file.

    Args:
        path: of the file.
        pixels: (H, W) uint8, int8, uint16 or int16.
        bits: BitsStored; None: all of them.
        compression: a key of ``COMPRESSIONS``; ``jpeg`` takes uint8 only.
        tags: further header entries by keyword, or other values for those set here; None leaves one out.

    Returns:
        The data set as written.
    """
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.Modality = "CR"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = 8 * pixels.dtype.itemsize
    dataset.BitsStored = bits or dataset.BitsAllocated
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    data = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2)
    dataset["PixelData"].VR = "OB" if dataset.BitsAllocated == 8 else "OW"
    for keyword, value in (tags or {}).items():
        if value is None:
            dataset.pop(keyword, None)
        else:
            setattr(dataset, keyword, value)
    syntax = UID(COMPRESSIONS[compression])
    if syntax == JPEGBaseline8Bit:  # pydicom has no encoder for it
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "JPEG", quality=90)
        dataset.PixelData = encapsulate([stream.getvalue()])
        dataset["PixelData"].is_undefined_length = True
    elif syntax.is_compressed:
        dataset.compress(syntax)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(path, enforce_file_format=True)
    return dataset


def write_metaimage(
    path: str | Path,
    pixels: np.ndarray,
    spacing: tuple[float, float] = (1.0, 1.0),
    compressed: bool = False,
    big_endian: bool = False,
) -> None:
    """Writes pixels as MetaImage: one ``.mha`` file, or an ``.mhd`` header with its ``.raw`` or ``.zraw`` beside it.

    Args:
        path: of the file; its ending decides.
        pixels: (H, W) of one of the types uint8, int16, uint16, float32, float64.
        spacing: of rows and of columns in mm.
        compressed: zlib.
        big_endian: byte order.
    """
    path = Path(path)
    data = pixels.astype(pixels.dtype.newbyteorder(">" if big_endian else "<")).tobytes()
    data = zlib.compress(data) if compressed else data
    apart = path.with_suffix(".zraw" if compressed else ".raw") if path.suffix.lower() == ".mhd" else None
    fields = {
        "ObjectType": "Image",
        "NDims": 2,
        "BinaryData": True,
        "BinaryDataByteOrderMSB": big_endian,
        "CompressedData": compressed,
        **({"CompressedDataSize": len(data)} if compressed else {}),
        "ElementSpacing": f"{spacing[1]:g} {spacing[0]:g}",
        "DimSize": f"{pixels.shape[1]} {pixels.shape[0]}",
        "ElementType": _ELEMENT_TYPES[pixels.dtype.str[1:]],
        "ElementDataFile": apart.name if apart else "LOCAL",
    }
    header = "".join(f"{key} = {value}\n" for key, value in fields.items()).encode()
    path.write_bytes(header if apart else header + data)
    if apart:
        apart.write_bytes(data)

"""What the header of an image file says, and the sizes that are believed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import DataError

# The largest published chest radiographs have 20 million pixels. A header beyond three times that is damaged or made
# to exhaust the memory.
MAX_PIXELS = 1 << 26


@dataclass(frozen=True)
class ImageHeader:
    """What is known of an image without decoding it.

    Attributes:
        kind: one of ``png jpeg gif tiff bmp webp dicom metaimage jsrt``.
        height, width: in pixels, as :func:`fx_d2.data.images.read_image` gives the image.
        bits: bits in use of a stored sample.
        spacing: distance of neighbouring rows and of neighbouring columns in mm; None where the file does not say.
        remarks: what makes the grey of the image doubtful, in words.
    """

    kind: str
    height: int
    width: int
    bits: int
    spacing: tuple[float, float] | None = None
    remarks: tuple[str, ...] = ()


def check_size(path: Path, height: int, width: int) -> None:
    """Raises DataError for a size that no radiograph has, before memory is asked for it."""
    if height < 1 or width < 1:
        raise DataError(f"{path}: the header gives {width} x {height} pixels (width x height); replace the file")
    if height * width > MAX_PIXELS:
        raise DataError(
            f"{path}: the header gives {width} x {height} pixels (width x height), more than the {MAX_PIXELS} that are "
            "read; the header is damaged, or the image must be reduced"
        )

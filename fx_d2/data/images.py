"""Radiographs from files to 8-bit grey pixels; size and spacing from the header.

Formats are recognised by content, not by name. **Air is dark and bone is bright** in all of them, as in a viewer:
formats that store the opposite (DICOM's MONOCHROME1, JSRT) are inverted here, and nowhere later.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np

from .errors import DataError
from .formats import dicom, jsrt, metaimage, pictures, rasters
from .formats.header import ImageHeader
from .formats.mask_levels import find_inside, has_two_levels
from .formats.signatures import recognise

# Endings that the published datasets use; some hand out DICOM files without any.
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".dcm", ".dicom", ".mha", ".mhd", ".img")
# Endings of masks in folders of them.
MASK_SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".webp")
GREYS = ("declared", "range")
# Raise it with every change of the pixels that read_image gives: cached images are then read again.
READING_VERSION = 1
_FORMATS: dict[str, ModuleType] = {
    "png": pictures,
    "jpeg": pictures,
    "tiff": rasters,
    "bmp": rasters,
    "webp": rasters,
    "dicom": dicom,
    "metaimage": metaimage,
    "jsrt": jsrt,
}
_RASTERS = [kind for kind, module in _FORMATS.items() if module is rasters]


def read_image(path: str | Path, grey: str = "declared") -> np.ndarray:
    """Reads a radiograph, air dark and bone bright: uint8 (H, W).

    * PNG, JPEG: colour becomes luminance (ITU-R 601), palettes are looked up, alpha is dropped, the orientation tag of
      a JPEG file is applied. 8-bit values are kept. A 16-bit file's depth is the smallest of 8, 10, 12, 14, 16 bits
      that holds 99.9 % of its pixels; that range is scaled to 0..255, and what lies above (a burnt-in marker) is white.
    * TIFF, BMP, WebP: as PNG; TIFF of floating-point or negative values by their range, and inverted where white is 0.
    * DICOM: rescale or modality LUT, then the first VOI LUT or else the first window, scaled to 0..255; MONOCHROME1 is
      inverted, padding is black. Without LUT and window 8-bit values are kept and deeper ones scaled by their depth as
      in PNG, or, if there are values below 0, by the range that holds all but 0.1 % at either end.
    * MetaImage: as 16-bit PNG; floating-point and negative values by their range.
    * JSRT (``.IMG``): 4095..0 becomes 0..255.

    Args:
        grey: ``declared``, as above; ``range``: what would be scaled by its depth is scaled by the range of all but
            0.1 % of the pixels at either end.

    Raises:
        DataError: the file is missing, damaged, of no known format, holds several frames, or needs a plug-in that is
            not installed; the message names the file and what to do.
    """
    path = Path(path)
    if grey not in GREYS:
        raise ValueError(f"grey must be one of {', '.join(GREYS)}, not {grey!r}")
    return _format(path, recognise(path)).read_pixels(path, grey == "range")


def read_mask(path: str | Path) -> np.ndarray:
    """Reads a mask picture (PNG, GIF, JPEG, TIFF, BMP, WebP): boolean array (H, W), True inside.

    Of a picture of two levels, black and another one, all that is not black is inside. More levels (noise of JPEG, soft
    edges) are cut at half of the brightest where they are two plain groups (:func:`formats.mask_levels.find_inside`).

    Raises:
        DataError: as :func:`read_image`, or the levels are not two groups.
    """
    levels = _read_levels(path)
    try:
        return find_inside(levels)
    except DataError as error:
        path = Path(path)
        kind = recognise(path)
        lossy = kind == "jpeg" or (kind in _RASTERS and rasters.is_lossy(path))
        hint = "; lossy compression makes such levels, too: write masks as PNG" if lossy else ""
        raise DataError(f"{path}: {error}{hint}") from None


def is_soft_mask(path: str | Path) -> bool:
    """Whether :func:`read_mask` has to cut between levels. Raises DataError as it does."""
    if has_two_levels(_read_levels(path)):
        return False
    read_mask(path)
    return True


def read_label_map(path: str | Path) -> np.ndarray:
    """Reads a label map (PNG, TIFF, BMP, lossless WebP): uint8 or uint16 (H, W), the stored numbers.

    Of a palette those are read, and not the colours.

    Raises:
        DataError: as :func:`read_image`, or the picture is in colour, or its compression changes numbers.
    """
    path = Path(path)
    kind = recognise(path)
    if kind in _RASTERS:
        return rasters.read_numbers(path)
    if kind != "png":
        raise DataError(f"{path}: a {kind} file cannot be a label map; write the numbers as PNG, which keeps them")
    return pictures.read_numbers(path)


def _read_levels(path: str | Path) -> np.ndarray:
    path = Path(path)
    kind = recognise(path)
    if kind in _RASTERS:
        return rasters.read_levels(path)
    if kind not in ("png", "gif", "jpeg"):
        raise DataError(f"{path}: a {kind} file cannot be a mask; masks are pictures, best PNG")
    return pictures.read_levels(path, kind)


def read_header(path: str | Path) -> ImageHeader:
    """Format, size, depth and pixel spacing of an image or of a mask, from the file's header.

    The spacing is DICOM's PixelSpacing, else ImagerPixelSpacing (at the detector, so without the magnification of the
    projection), else NominalScannedPixelSpacing; MetaImage's ElementSpacing unless it is the format's default of 1.

    Raises:
        DataError: as :func:`read_image`, as far as the header tells.
    """
    path = Path(path)
    kind = recognise(path)
    return (pictures if kind == "gif" else _format(path, kind)).read_header(path, kind)


def image_size(path: str | Path) -> tuple[int, int]:
    """Height and width of an image as :func:`read_image` gives it, from :func:`read_header`."""
    header = read_header(path)
    return header.height, header.width


def source_files(path: str | Path) -> tuple[Path, ...]:
    """The files that an image is read from: itself, and for a MetaImage header the file of pixels beside it.

    Raises:
        DataError: as :func:`read_header`.
    """
    path = Path(path)
    return metaimage.sources(path) if recognise(path) == "metaimage" else (path,)


def _format(path: Path, kind: str) -> ModuleType:
    if kind not in _FORMATS:
        raise DataError(f"{path}: a {kind.upper()} file can be a mask, not a radiograph; convert it to PNG")
    return _FORMATS[kind]

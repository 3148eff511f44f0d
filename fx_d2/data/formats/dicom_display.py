"""From stored DICOM values to grey: modality, values of interest, polarity (DICOM PS3.3 C.7.6.3, C.11.1, C.11.2).

All of it is a function of the stored value alone, so it is worked out once for each of the at most 65536 values, not
for each pixel.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from pydicom.dataset import Dataset

from .intensity import find_depth, find_range

logger = logging.getLogger(__name__)

_CONTRADICTIONS = (("MONOCHROME2", "INVERSE"), ("MONOCHROME1", "IDENTITY"))


def doubts(dataset: Dataset) -> tuple[str, ...]:
    """What a header says that makes the grey doubtful.

    Values FOR PROCESSING are the detector's, before the contrast that people look at. Where PresentationLUTShape says
    the opposite of PhotometricInterpretation (PS3.3 C.8.11.3.1.2), the latter is followed, as viewers do.
    """
    found = []
    if dataset.get("PresentationIntentType") == "FOR PROCESSING":
        found.append("raw detector images (PresentationIntentType FOR PROCESSING)")
    pair = (dataset.get("PhotometricInterpretation"), dataset.get("PresentationLUTShape"))
    if pair in _CONTRADICTIONS:
        tags = f"{pair[0]}, which is followed, and PresentationLUTShape {pair[1]}"
        found.append(f"images whose tags contradict each other ({tags})")
    return tuple(found)


def display_table(
    path: Path, dataset: Dataset, pixels: np.ndarray, unused_bits: bool, by_range: bool = False
) -> np.ndarray:
    """Grey of every bit pattern that a stored sample can have: uint8 (256,) or (65536,).

    In this order: unused bits are masked, the modality transform (rescale or LUT), the first VOI LUT or else the first
    window, the polarity of MONOCHROME1, and padding as black. Without VOI LUT and window, 8-bit values are kept, deeper
    ones are scaled by their depth, and values below 0 or after a rescale by their range, as
    :mod:`fx_d2.data.formats.intensity` does.

    Args:
        path: of the file, for messages.
        dataset: its header.
        pixels: (H, W) stored values.
        unused_bits: whether bits beside the sample (BitsStored, HighBit) may hold something else.
        by_range: without VOI LUT and window, values deeper than 8 bits are scaled by their range in any case.
    """
    patterns = np.arange(1 << 8 * pixels.itemsize)
    unsigned = pixels.view(f"u{pixels.itemsize}")
    counts = cv2.calcHist([unsigned], [0], None, [len(patterns)], [0, len(patterns)]).ravel().astype(np.int64)
    stored = _stored_values(dataset, patterns, unused_bits, pixels.dtype.kind == "i")
    padding = _padding(dataset, stored)
    counts[padding] = 0
    values = _modality(dataset, stored)
    shades = _declared_shades(path, dataset, values, counts)
    if shades is None:
        shades = _undeclared_shades(dataset, values, counts, by_range)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        shades = 1.0 - shades
    shades[padding] = 0.0
    return np.rint(shades * 255).astype(np.uint8)


def look_up(table: np.ndarray, patterns: np.ndarray) -> np.ndarray:
    """``table[patterns]`` of (H, W) patterns, a few rows at a time: so the indices stay in the processor's cache."""
    image = np.empty(patterns.shape, table.dtype)
    for row in range(0, len(patterns), 32):
        np.take(table, patterns[row : row + 32], out=image[row : row + 32], mode="clip")
    return image


def _stored_values(dataset: Dataset, patterns: np.ndarray, unused_bits: bool, signed: bool) -> np.ndarray:
    """int64: the value that each bit pattern stands for."""
    allocated = int(len(patterns) - 1).bit_length()
    bits = allocated
    if unused_bits:
        # Old files keep overlays in the bits beside the sample.
        bits = min(int(dataset.get("BitsStored") or allocated), allocated)
        patterns = patterns >> max(0, int(dataset.get("HighBit", bits - 1)) + 1 - bits)
    values = patterns & ((1 << bits) - 1)
    return np.where(values >= 1 << (bits - 1), values - (1 << bits), values) if signed else values


def _padding(dataset: Dataset, stored: np.ndarray) -> np.ndarray:
    """bool: which stored values mark pixels outside the exposed field."""
    first = dataset.get("PixelPaddingValue")
    if not isinstance(first, int):
        return np.zeros(stored.shape, bool)
    last = dataset.get("PixelPaddingRangeLimit")
    last = last if isinstance(last, int) else first
    return (stored >= min(first, last)) & (stored <= max(first, last))


def _declared_shades(path: Path, dataset: Dataset, values: np.ndarray, counts: np.ndarray) -> np.ndarray | None:
    """Shades 0..1 by the file's own VOI LUT or window; None where it has none or it shows nothing of the image."""
    transform = _voi_lut(dataset) or _window(dataset)
    if transform is None:
        return None
    shades = transform(values)
    used = counts > 0
    seen, there = shades[used], values[used]
    if seen.size and np.ptp(there) > 0 and not np.ptp(seen) > 0:
        logger.warning("%s: its display window shows a single shade; the range of its pixels is used instead", path)
        return None
    return shades


def _modality(dataset: Dataset, stored: np.ndarray) -> np.ndarray:
    """The values that stored ones stand for: by table, or by slope and intercept (PS3.3 C.11.1)."""
    items = dataset.get("ModalityLUTSequence")
    if items:
        return _look_up(items[0], stored)
    slope, intercept = (_first_number(dataset.get(key)) for key in ("RescaleSlope", "RescaleIntercept"))
    if slope in (None, 0.0, 1.0) and intercept in (None, 0.0):
        return stored
    return stored * (slope or 1.0) + (intercept or 0.0)


def _voi_lut(dataset: Dataset) -> Callable[[np.ndarray], np.ndarray] | None:
    items = dataset.get("VOILUTSequence")
    if not items or not items[0].get("LUTData"):
        return None
    # The declared depth may be larger than what the table reaches; white is the table's own depth.
    white = (1 << int(_read_table(items[0])[1].max()).bit_length()) - 1
    return lambda values: _look_up(items[0], np.rint(values)) / max(1, white)


def _look_up(item: Dataset, values: np.ndarray) -> np.ndarray:
    """Values through a table; beyond its ends its first and its last entry hold (PS3.3 C.11.1.1.1, C.11.2.1.1)."""
    first, table = _read_table(item)
    if first >= 1 << 15 and values.min() < 0:
        first -= 1 << 16  # a negative number in an unsigned field
    return table[np.clip(values - first, 0, len(table) - 1).astype(np.int64)]


def _read_table(item: Dataset) -> tuple[int, np.ndarray]:
    """First value mapped, and the entries."""
    length, first, _ = (int(number) for number in item.LUTDescriptor)
    data = item.LUTData
    if isinstance(data, bytes):
        data = np.frombuffer(data, "u1" if len(data) == length else "<u2")
    return first, np.asarray(data, np.int64).reshape(-1)[: length or 1 << 16]


def _window(dataset: Dataset) -> Callable[[np.ndarray], np.ndarray] | None:
    """The first window as a function of modality values (PS3.3 C.11.2.1.2 and C.11.2.1.3)."""
    centre, width = (_first_number(dataset.get(key)) for key in ("WindowCenter", "WindowWidth"))
    if centre is None or width is None or width <= 0:
        return None
    function = str(dataset.get("VOILUTFunction") or "LINEAR").strip().upper()
    if function == "SIGMOID":
        return lambda values: 1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -700, 700)))
    if function == "LINEAR_EXACT":
        return lambda values: np.clip((values - centre) / width + 0.5, 0, 1)
    if width <= 1:
        return lambda values: (values > centre - 0.5).astype(np.float64)
    return lambda values: np.clip((values - (centre - 0.5)) / (width - 1) + 0.5, 0, 1)


def _first_number(value: object) -> float | None:
    values = [value] if isinstance(value, str) or not hasattr(value, "__iter__") else value
    try:
        number = float(next(iter(values)))
    except (TypeError, ValueError, StopIteration):
        return None
    return number if np.isfinite(number) else None


def _undeclared_shades(dataset: Dataset, values: np.ndarray, counts: np.ndarray, by_range: bool) -> np.ndarray:
    """Shades 0..1 of a file that does not say how it is displayed."""
    used = np.flatnonzero(counts)
    if not used.size:
        return np.zeros(values.shape)
    there = values[used]
    unsigned = there.min() >= 0 and np.array_equal(there, np.rint(there))
    if unsigned and len(values) == 256 and there.max() < 256:
        low, high = 0.0, 255.0
    elif unsigned and there.max() < 1 << 16 and not by_range:
        bits, stored = (
            find_depth(np.bincount(there.astype(np.int64), counts[used])),
            int(dataset.get("BitsStored") or 16),
        )
        if there.max() < 1 << stored:  # some files say less than their code stream holds
            bits = min(bits, stored)
        low, high = 0.0, float((1 << bits) - 1)
    else:
        order = used[np.argsort(there, kind="stable")]
        low, high = find_range(values[order], counts[order])
    if high <= low:
        return np.zeros(values.shape)
    return np.clip((values - low) / (high - low), 0, 1)

"""Eight-bit grey from deeper pixels, for files that do not say how they are to be displayed."""

from __future__ import annotations

import numpy as np

from ..errors import DataError

# Depths in which devices store radiographs; odd ones do not occur, and fewer steps keep ordinary pictures unscaled.
_DEPTHS = (8, 10, 12, 14, 16)
# Share of the pixels that decides about a range; what lies beyond is a burnt-in marker or a dead detector element.
_BULK = 0.999


def to_uint8(grey: np.ndarray, by_range: bool = False) -> np.ndarray:
    """Eight-bit grey of pixels of any type; low stays dark.

    8-bit values are kept. Values from 0 to 65535 are scaled by their depth (:func:`find_depth`); signed and other
    values by their range (:func:`find_range`).

    Args:
        grey: (H, W).
        by_range: scale deeper values than 8 bits by their range, whatever they are.

    Raises:
        DataError: floating-point values that are not finite.
    """
    if grey.dtype == np.uint8:
        return grey
    if grey.dtype == bool:
        return grey.astype(np.uint8) * 255
    if grey.dtype.kind == "f" and not np.isfinite(grey).all():
        raise DataError("some pixels are infinite or not numbers")
    if not by_range and grey.dtype.kind in "iu" and grey.min() >= 0 and grey.max() < 1 << 16:
        grey = grey.astype(np.uint16, copy=False)
        counts = np.bincount(grey.ravel(), minlength=1 << 16)
        top = (1 << find_depth(counts)) - 1
        return ramp(np.arange(1 << 16), 0, top)[grey]
    values, counts = np.unique(grey, return_counts=True)
    return ramp(grey, *find_range(values, counts))


def find_depth(counts: np.ndarray) -> int:
    """The smallest of 8, 10, 12, 14, 16 bits that holds 99.9 % of the pixels.

    Args:
        counts: pixels of each value 0, 1, 2, ..., at most 65536 of them.
    """
    bulk = int(np.searchsorted(counts.cumsum(), _BULK * counts.sum()))
    return next(bits for bits in _DEPTHS if bulk < 1 << bits)


def find_range(values: np.ndarray, counts: np.ndarray) -> tuple[float, float]:
    """The values between which all but 0.1 % of the pixels at either end lie.

    Args:
        values: (N,) ascending.
        counts: (N,) pixels of each value.
    """
    share = counts.cumsum() / max(counts.sum(), 1)
    low, high = (values[min(int(np.searchsorted(share, part)), len(values) - 1)] for part in (1 - _BULK, _BULK))
    return float(low), float(high)


def ramp(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """uint8: ``low`` and below 0, ``high`` and above 255, straight between; a range without width is black."""
    if high <= low:
        return np.zeros(values.shape, np.uint8)
    scaled = (np.clip(values, low, high).astype(np.float64) - low) * (255.0 / (high - low))
    return np.rint(scaled).astype(np.uint8)

"""Tells one radiograph in two files: a rank-normalised thumbnail, compared by correlation of its details.

``docs/data_checks.md`` has the measurements behind the constants; ``tools/dev/measure_fingerprints.py`` makes them.
"""

from __future__ import annotations

import cv2
import numpy as np

SIDE = 48
# The search: thumbnails of half the side, less what is wider than this many of their pixels (standard deviation).
COARSE_SIDE = SIDE // 2
_COARSE_SMOOTH = 3.75
# The decision: whole thumbnails, less what is wider than this many pixels: ribs and vessels are left, chests are not.
_FINE_SMOOTH = 2.0
# Correlations from which two pictures are candidates, and one radiograph. Resized, windowed and re-encoded copies kept
# above 0.96 and 0.92; two films of one patient reached 0.90 and 0.70.
CANDIDATE, SAME = 0.95, 0.90
# Bars: grey levels that rows or columns of one shade may differ in (compression), and the least share of a side that
# must be left.
_BAR, _LEAST = 6, 0.4
# Changes whenever the thumbnails do: remembered ones are then made again.
VERSION = 2


def thumbnail(grey: np.ndarray) -> np.ndarray:
    """The fingerprint of a radiograph.

    Shrunk by area averages, then every value replaced by its rank among the others: what keeps the order of grey
    levels (windows, gamma, 8 or 16 bits, equalisation) changes it little.

    Args:
        grey: uint8 (H, W).

    Returns:
        uint8 (48, 48): mid-ranks scaled to 0..255; all 128 where the picture has one value only.
    """
    small = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    _, position, times = np.unique(small, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(times) - times / 2) / small.size
    return np.rint(ranks[position.reshape(SIDE, SIDE)] * 255).astype(np.uint8)


def thumbnails(grey: np.ndarray) -> np.ndarray:
    """The fingerprint of a radiograph and, where bars of one shade surround it, that of what is inside of them.

    Args:
        grey: uint8 (H, W).

    Returns:
        uint8 (1 or 2, 48, 48).
    """
    inside = without_bars(grey)
    return np.stack([thumbnail(grey)] + ([thumbnail(inside)] if inside.shape != grey.shape else []))


def without_bars(grey: np.ndarray) -> np.ndarray:
    """The image without rows and columns of one shade at its sides; the whole where little would be left."""
    kept = []
    for axis in (1, 0):
        spread = grey.max(axis).astype(int) - grey.min(axis)
        varied = np.flatnonzero(spread > _BAR)
        if not len(varied) or varied[-1] + 1 - varied[0] < _LEAST * grey.shape[1 - axis]:
            return grey
        kept.append(slice(varied[0], varied[-1] + 1))
    return grey[kept[0], kept[1]]


def coarse(thumbnails: np.ndarray) -> np.ndarray:
    """Thumbnails (N, 48, 48) as vectors whose products are the correlations of the search: float32 (N, 576).

    A vector has length 1, or 0 for a flat picture, which then resembles nothing.
    """
    halves = thumbnails.reshape(-1, COARSE_SIDE, 2, COARSE_SIDE, 2).mean((2, 4), dtype=np.float32)
    return _details(halves, _COARSE_SMOOTH)


def fine(thumbnails: np.ndarray) -> np.ndarray:
    """As :func:`coarse`, for the decision: float32 (N, 2304)."""
    return _details(thumbnails, _FINE_SMOOTH)


def _details(pictures: np.ndarray, smooth: float) -> np.ndarray:
    result = np.empty((len(pictures), pictures[0].size if len(pictures) else 0), np.float32)
    for row, picture in zip(result, pictures, strict=True):
        detail = picture.astype(np.float32)
        detail -= cv2.GaussianBlur(detail, (0, 0), smooth, borderType=cv2.BORDER_REFLECT)
        row[:] = (detail - detail.mean()).ravel()
    lengths = np.linalg.norm(result, axis=1, keepdims=True)
    flat = lengths < 1e-2
    result /= np.where(flat, 1, lengths)
    result[flat[:, 0]] = 0
    return result


def mirrored(vectors: np.ndarray) -> np.ndarray:
    """The vectors of the left-right mirrored pictures, of the same shape (N, S * S)."""
    side = int(vectors.shape[1] ** 0.5)
    return vectors.reshape(-1, side, side)[:, :, ::-1].reshape(vectors.shape)

"""Distances between the outlines of two masks."""

from __future__ import annotations

import cv2
import numpy as np
from scipy.spatial import cKDTree

_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


def outline(mask: np.ndarray) -> np.ndarray:
    """(H, W) bool -> (n, 2) row and column of the pixels inside that have one of 4 neighbours outside.

    What lies beyond the image is outside.
    """
    inside = mask.astype(np.uint8)
    inner = cv2.erode(inside, _CROSS, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return np.argwhere(inside != inner)


def surface_distances(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """From each outline point to the nearest of the other outline, both ways.

    Shapes:
        first (n, 2), second (m, 2), both not empty, in any unit of length. Returns (n,) and (m,).
    """
    return cKDTree(second).query(first)[0], cKDTree(first).query(second)[0]


def distance_metrics(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """``HD95`` and ``ASSD`` of two outlines.

    HD95: the larger of the two directed 95th percentiles (Taha and Hanbury, BMC Medical Imaging 15, 2015; as MONAI).
    ASSD: mean over the points of both outlines, the average symmetric surface distance (Heimann et al., IEEE TMI 28,
    2009).
    """
    there, back = surface_distances(first, second)
    hd95 = max(np.percentile(there, 95), np.percentile(back, 95))
    return float(hd95), float(np.concatenate([there, back]).mean())


def mask_distances(
    predicted: np.ndarray, truth: np.ndarray, spacing: tuple[float, float] | None = None
) -> tuple[float, float, float, float]:
    """HD95 and ASSD in pixels, then in millimetres; NaN where a mask is empty or the spacing is unknown.

    Args:
        predicted, truth: (H, W) bool. spacing: mm of a row and of a column.
    """
    nothing = float("nan")
    if not predicted.any() or not truth.any():
        return (nothing,) * 4
    outlines = outline(predicted), outline(truth)
    pixels = distance_metrics(*outlines)
    if spacing is None:
        return (*pixels, nothing, nothing)
    return (*pixels, *distance_metrics(*(points * np.asarray(spacing) for points in outlines)))

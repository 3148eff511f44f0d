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


def distance_metrics(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """``HD95`` and ``ASSD`` of two outlines, (n, 2) and (m, 2), both not empty, in any unit of length.

    HD95: the larger of the two directed 95th percentiles (Taha and Hanbury, BMC Medical Imaging 15, 2015; as MONAI).
    ASSD: mean over the points of both outlines, the average symmetric surface distance (Heimann et al., IEEE TMI 28,
    2009).
    """
    directed = cKDTree(second).query(first)[0], cKDTree(first).query(second)[0]
    return float(max(np.percentile(d, 95) for d in directed)), float(np.concatenate(directed).mean())


def mask_distances(
    predicted: np.ndarray, truth: np.ndarray, spacing: tuple[float, float] | None = None
) -> tuple[float, float, float, float]:
    """HD95 and ASSD in pixels, then in millimetres; NaN where a mask is empty or the spacing is unknown.

    Args:
        predicted, truth: (H, W) bool. spacing: mm of a row and of a column.
    """
    pixels = millimetres = (float("nan"), float("nan"))
    if predicted.any() and truth.any():
        outlines = outline(predicted), outline(truth)
        pixels = distance_metrics(*outlines)
        if spacing is not None:
            millimetres = distance_metrics(*(points * np.asarray(spacing) for points in outlines))
    return (*pixels, *millimetres)

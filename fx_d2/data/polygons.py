"""Outlines of structures as COCO polygons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .errors import DataError

_NO_STRUCTURE = "None"


def from_points(points: Sequence[Mapping[str, float]] | str) -> list[list[float]] | None:
    """The segmentation of a VinDr-RibCXR cell.

    Args:
        points: corners ``{"x": ..., "y": ...}`` in pixels, or the text ``None`` where the structure is not seen.

    Returns:
        One polygon ``[[x1, y1, x2, y2, ...]]``, or None.

    Raises:
        DataError: a corner lacks a coordinate, or there are fewer than three.
    """
    if points is None or points == _NO_STRUCTURE:
        return None
    try:
        polygons = [[point[axis] for point in points for axis in ("x", "y")]]
    except (TypeError, KeyError):
        raise DataError('a corner of the outline is not {"x": number, "y": number}') from None
    check_polygons(polygons)
    return polygons


def check_polygons(polygons: Any) -> None:
    """Raises DataError unless this is a list of polygons of at least three finite points each."""
    if not polygons:
        raise DataError("the segmentation is empty; leave the annotation out if there is nothing")
    for polygon in polygons:
        if not isinstance(polygon, list):
            raise DataError("a polygon segmentation is a list of polygons, [[x1, y1, x2, y2, ...], ...]")
        numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in polygon)
        if len(polygon) < 6 or len(polygon) % 2 or not numbers or not np.isfinite(polygon).all():
            raise DataError("a polygon needs at least three points as finite numbers x1, y1, x2, y2, x3, y3")

"""Boxes of published files as Detectron2 annotations, within the image."""

from __future__ import annotations

import math
from collections.abc import Sequence

from detectron2.structures import BoxMode

from ..errors import DataError
from ..records import ReadReport

# Sides below this many pixels, after clipping, are no box; smaller overhangs are rounding.
_TINY = 1e-3


def numbers(texts: Sequence[object], place: str) -> list[float]:
    """Four finite numbers.

    Raises:
        DataError: a text is no number, or not finite.
    """
    try:
        values = [float(text) for text in texts]  # type: ignore[arg-type]
    except (TypeError, ValueError):
        values = [math.nan]
    if len(values) != 4 or not all(math.isfinite(value) for value in values):
        raise DataError(f"{place}: box {', '.join(str(text) or 'blank' for text in texts)} is not four finite numbers")
    return values


def from_corners(corners: Sequence[float], place: str) -> list[float]:
    """x, y, width, height of a box given as x0, y0, x1, y1.

    Raises:
        DataError: the second corner does not lie right of and below the first.
    """
    x0, y0, x1, y1 = corners
    if x1 <= x0 or y1 <= y0:
        raise DataError(f"{place}: box corners {x0:g}, {y0:g}, {x1:g}, {y1:g}: the second must be right and below")
    return [x0, y0, x1 - x0, y1 - y0]


def box_annotation(
    box: Sequence[float], category: int, frame: tuple[int, int] | None, place: str, report: ReadReport
) -> dict | None:
    """A Detectron2 annotation, clipped to the image; None if nothing is left. The report counts both.

    Args:
        box: x, y, width, height in pixels.
        category: position in the classes.
        frame: height and width of the image; None where only decoding will tell.
        place: file and row, for messages.
        report: counts what was clipped or left out.

    Raises:
        DataError: width or height is not positive.
    """
    x, y, width, height = box
    if width <= 0 or height <= 0:
        raise DataError(f"{place}: box {x:g}, {y:g}, {width:g}, {height:g} (x, y, width, height) has no area")
    x0, y0, x1, y1 = x, y, x + width, y + height
    if frame is not None:
        x0, y0, x1, y1 = max(x0, 0.0), max(y0, 0.0), min(x1, float(frame[1])), min(y1, float(frame[0]))
        if x1 - x0 < _TINY or y1 - y0 < _TINY:
            report.note("boxes outside the image left out", place)
            return None
        if max(x0 - x, y0 - y, x + width - x1, y + height - y1) > _TINY:
            report.note("boxes clipped to the image", place)
    return {"bbox": [x0, y0, x1 - x0, y1 - y0], "bbox_mode": BoxMode.XYWH_ABS, "category_id": category, "iscrowd": 0}

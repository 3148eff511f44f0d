"""Which pixels of a mask picture are inside: of two levels the brighter, of more those above half."""

from __future__ import annotations

import cv2
import numpy as np

from ..errors import DataError

# Levels up to a quarter of the brightest are outside, those from three quarters on inside; between lies a blurred rim.
_LOW, _HIGH = 0.25, 0.75
# A rim has both groups within this many pixels. What lies farther is no rim, and there may be this share of the inside.
_REACH, _ASTRAY = 5, 0.01
_WHAT = "this is no mask of one structure, which has 0 outside and one level inside"


def has_two_levels(levels: np.ndarray) -> bool:
    """Whether there is nothing but 0 and one other level, or one level: (H, W) of uint8 or uint16."""
    return cv2.sumElems(levels)[0] == float(levels.max()) * cv2.countNonZero(levels)


def find_inside(levels: np.ndarray) -> np.ndarray:
    """bool (H, W): the mask of a picture.

    With 0 and one other level, or one level alone, what is not 0 is inside. More levels are two groups where those
    between a quarter and three quarters of the brightest are a rim, within 5 pixels of both: the noise of JPEG and
    soft edges are. Then half of the brightest is the border.

    Args:
        levels: (H, W) of uint8 or uint16.

    Raises:
        DataError: the levels are not two groups.
    """
    return levels != 0 if has_two_levels(levels) else _cut(levels, float(levels.max()))


def _cut(levels: np.ndarray, top: float) -> np.ndarray:
    low, high = levels <= _LOW * top, levels >= _HIGH * top
    if not low.any():
        raise DataError(f"its levels are {levels.min()} to {levels.max()}, none of them 0 or near it; {_WHAT}")
    box = np.ones((2 * _REACH + 1,) * 2, np.uint8)
    near = [cv2.dilate(group.view(np.uint8), box).view(bool) for group in (low, high)]
    astray = np.count_nonzero(~(low | high | (near[0] & near[1])))
    if astray > _ASTRAY * np.count_nonzero(high):
        number = len(np.unique(levels))
        raise DataError(
            f"{number} levels from {levels.min()} to {levels.max()}, and {astray} pixels between dark and bright that "
            f"are no soft edge; {_WHAT}"
        )
    return levels >= 0.5 * top

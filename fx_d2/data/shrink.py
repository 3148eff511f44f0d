"""Shrinking by area averages: each pixel is the mean of what it covers."""

from __future__ import annotations

import cv2
import numpy as np

# Shrinking by more than this is averaged over areas first: linear interpolation would skip source pixels.
_AREA_FACTOR = 1.5


def shrunk_size(size: tuple[int, int], matrix: np.ndarray) -> tuple[int, int]:
    """The size (width, height) at which an affine map (2, 3) has little left to shrink; ``size`` if it has no more."""
    scales = np.hypot(matrix[0, :2], matrix[1, :2])  # input pixels per source pixel along x and along y
    width, height = (
        max(1, round(side * scale)) if scale * _AREA_FACTOR < 1 else side
        for side, scale in zip(size, scales, strict=True)
    )
    return width, height


def shrink_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image (H, W) at ``size`` (width, height); itself where it has that size."""
    return image if size == image.shape[1::-1] else cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def shrink_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The same of a mask (H, W) of 0 and 1, as grey values 0 and 255, uint8.

    Only the rectangle that holds the mask is summed up: a region of a tenth of the image costs a third of its image.
    """
    if size == mask.shape[1::-1]:
        return -mask.astype(np.uint8)  # a byte's -1 is 255
    width, height = size
    grey = np.zeros((height, width), np.uint8)
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if len(rows):
        y, down = _shares(mask.shape[0], height, rows[0], rows[-1] + 1)
        x, across = _shares(mask.shape[1], width, columns[0], columns[-1] + 1)
        inside = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.float32)
        grey[y, x] = np.rint(255 * (down @ inside @ across.T))
    return grey


def _shares(source: int, target: int, first: int, stop: int) -> tuple[slice, np.ndarray]:
    """The target pixels that source pixels ``first`` to ``stop - 1`` touch, and their shares: (targets, sources)."""
    step = source / target
    low, high = int(first / step), min(target, int(np.ceil(stop / step)))
    edges, pixels = np.arange(low, high + 1)[:, None] * step, np.arange(first, stop)
    shares = np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels)
    return slice(low, high), (shares.clip(min=0) / step).astype(np.float32)

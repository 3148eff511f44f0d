"""Masks and their connected regions as run lengths."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pycocotools import mask as coco_mask

from ..data import rle
from .tables import MaskRow, RunLengths


def decode(runs: RunLengths) -> np.ndarray:
    """-> (H, W) bool."""
    return coco_mask.decode(runs).astype(bool)


def union_of(rows: Sequence[MaskRow], category: int, height: int, width: int) -> np.ndarray:
    """All regions of a class on an image, (H, W) bool."""
    union = np.zeros((height, width), bool)
    for row in rows:
        if row.category == category:
            union |= decode(row.runs)
    return union


def merge_regions(rows: Sequence[MaskRow], category: int) -> RunLengths | None:
    """All regions of a class on an image as one; None without any."""
    runs = [row.runs for row in rows if row.category == category]
    return coco_mask.merge(runs) if runs else None


def split_regions(mask: np.ndarray, category: int, probability: np.ndarray | None = None) -> list[MaskRow]:
    """The connected regions of a mask, see :func:`fx_d2.data.rle.regions`.

    Args:
        mask: (H, W) bool. probability: (H, W); a region's score is its mean inside. None: truth, the score is 0.
    """
    parts = rle.regions(mask)
    if probability is None:
        return [MaskRow(category, part) for part in parts]
    # Sums over runs are differences of the running sum down the columns; no region is drawn.
    total = np.concatenate([[0.0], probability.ravel(order="F").cumsum(dtype=np.float64)])
    scores = []
    for part in parts:
        begins, ends = rle.read_edges(part).reshape(-1, 2).T
        mean = (total[ends] - total[begins]).sum() / (ends - begins).sum()
        scores.append(float(np.clip(mean, 0.0, 1.0)))  # the running sum may round by a few parts in 1e12
    return [MaskRow(category, part, score) for part, score in zip(parts, scores, strict=True)]

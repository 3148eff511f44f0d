"""Masks and their connected regions as run lengths."""

from __future__ import annotations

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from .tables import MaskRow, RunLengths

# Regions written per class and image. Speckle beyond that is one region more: COCO looks at 100 at most.
MAX_REGIONS = 100


def encode(mask: np.ndarray) -> RunLengths:
    """(H, W), not zero inside -> a COCO run-length record with the counts as text."""
    runs = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": [int(side) for side in runs["size"]], "counts": runs["counts"].decode("ascii")}


def decode(runs: RunLengths) -> np.ndarray:
    """-> (H, W) bool."""
    return coco_mask.decode(runs).astype(bool)


def union_of(rows: list[MaskRow], category: int, height: int, width: int) -> np.ndarray:
    """(H, W) bool: all regions of a class on an image."""
    union = np.zeros((height, width), bool)
    for row in rows:
        if row.category == category:
            union |= decode(row.runs)
    return union


def split_regions(mask: np.ndarray, category: int, probability: np.ndarray | None = None) -> list[MaskRow]:
    """The connected regions (8 neighbours) of a mask, largest first; together they are the mask.

    Args:
        mask: (H, W) bool. probability: (H, W); a region's score is its mean inside. None: truth, the score is 0.
    """
    if not mask.any():
        return []
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    order = 1 + np.argsort(-stats[1:, cv2.CC_STAT_AREA], kind="stable")
    regions = [labels == number for number in order[:MAX_REGIONS]]
    if count - 1 > MAX_REGIONS:
        regions.append(mask & ~np.isin(labels, order[:MAX_REGIONS]))
    scores = [0.0 if probability is None else float(probability[region].mean(dtype=np.float64)) for region in regions]
    return [MaskRow(category, encode(region), score) for region, score in zip(regions, scores, strict=True)]

"""Run lengths of COCO records: reading, checking and writing them without drawing a mask.

A mask is its *edges*: the positions, counted down the columns from the top left, at which outside turns to inside and
back. Edges ascend strictly; the first begins a run. ``counts`` of a COCO record are their differences.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from .errors import DataError


def check_run_lengths(segmentation: Mapping[str, Any], height: int, width: int) -> np.ndarray:
    """The run lengths of a COCO record, after checking that they fill the image.

    Raises:
        DataError: keys are missing, the size is not the image's, or the runs do not add up.
    """
    if "counts" not in segmentation or "size" not in segmentation:
        raise DataError("a run-length segmentation needs the keys size and counts")
    if list(segmentation["size"]) != [height, width]:
        raise DataError(
            f"run-length size {list(segmentation['size'])} (height, width) is not the image's [{height}, {width}]"
        )
    counts = segmentation["counts"]
    try:
        runs = _uncompress(counts) if isinstance(counts, str | bytes) else np.asarray(counts, dtype=np.int64)
    except (ValueError, TypeError, OverflowError):
        raise DataError("the run-length counts cannot be read") from None
    if runs.ndim != 1 or (runs < 0).any() or runs.sum() != height * width:
        raise DataError(
            f"the run lengths cover {int(runs.sum())} pixels, the image has {height * width}: the counts are damaged"
        )
    return runs


def _uncompress(text: str | bytes) -> np.ndarray:
    """COCO's compressed counts: base 32 digits, lowest first, from the third on as differences to the last but one."""
    data = np.frombuffer(text.encode("ascii") if isinstance(text, str) else text, np.uint8).astype(np.int64) - 48
    if not data.size or data.min() < 0 or data.max() > 63 or data[-1] & 32:
        raise ValueError("not a compressed run-length text")
    ends = np.flatnonzero((data & 32) == 0)
    starts = np.concatenate(([0], ends[:-1] + 1))
    place = np.arange(len(data)) - np.repeat(starts, ends - starts + 1)
    values = np.add.reduceat((data & 31) << (5 * place), starts)
    negative = (data[ends] & 16) != 0
    values -= negative * (np.int64(1) << (5 * (ends - starts + 1)))
    values[1::2] = values[1::2].cumsum()
    values[2::2] = values[2::2].cumsum()
    return values


def draw_runs(runs: np.ndarray, height: int, width: int) -> np.ndarray:
    """The mask (height, width), bool, of alternate runs outside and inside down the columns."""
    return by_rows(np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height))


def by_rows(columns: np.ndarray) -> np.ndarray:
    """The mask (H, W), bool, row by row in memory, of one that lies there column by column: (W, H) of one byte each.

    OpenCV moves blocks: a tenth of the time of NumPy's copy, and of every later step on an array of mixed order.
    """
    return cv2.transpose(np.ascontiguousarray(columns).view(np.uint8)).view(bool)


def read_edges(rle: Mapping[str, Any]) -> np.ndarray:
    """The edges of a COCO record, int64 (2N,): begins and ends of its N runs.

    Raises:
        DataError: as :func:`check_run_lengths`.
    """
    height, width = rle.get("size", (0, 0))
    edges = check_run_lengths(rle, height, width).cumsum()
    if len(edges) % 2:  # the last run is outside
        edges = edges[:-1]
    return xor_edges(edges)


def xor_edges(edges: np.ndarray) -> np.ndarray:
    """Sorts edges; two at one place cancel, as two steps there do."""
    places, times = np.unique(edges, return_counts=True)
    return places[times % 2 == 1]


def write_edges(edges: np.ndarray, height: int, width: int) -> dict[str, Any]:
    """The COCO record of edges: ``{"size": [height, width], "counts": compressed text}``."""
    counts = np.diff(edges, prepend=0, append=height * width)
    counts = counts[:-1] if counts[-1] == 0 and len(counts) > 1 else counts  # a run that ends with the image
    packed = coco_mask.frPyObjects({"size": [height, width], "counts": counts.tolist()}, height, width)
    return {"size": [height, width], "counts": packed["counts"].decode("ascii")}

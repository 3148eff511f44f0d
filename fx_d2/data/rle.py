"""Run-length masks as COCO records, read, checked, converted and measured without drawing a mask.

A COCO record here is ``{"size": [height, width], "counts": text}``: alternate runs outside and inside, down the
columns, in COCO's compressed form, some 1 to 4 KB for a lung or a pneumothorax.

Its *edges* are the positions, counted down the columns from the top left, at which outside turns to inside and back.
They ascend strictly; the first begins a run. The counts are their differences.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco_mask
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from .errors import DataError

Rle = dict[str, Any]

# Regions of a class on an image; the rest becomes one region more. COCO counts 100 at most.
MAX_REGIONS = 100


def from_relative_columns(text: str, height: int, width: int) -> Rle | None:
    """The COCO record of a SIIM-ACR or CANDID-PTX row; None for ``-1``, an image without the finding.

    Pairs (offset, length): the offset counts from the end of the run before, the first one from pixel 0; pixels run
    down the columns.

    Raises:
        DataError: blank, not whole numbers in pairs, a negative offset, an empty run, or runs past the last pixel.
    """
    pairs = _parse_pairs(text)
    if pairs is None:
        return None
    if pairs[:, 0].min() < 0:
        raise DataError(f"run {int(pairs[:, 0].argmin()) + 1}: offset {pairs[:, 0].min()} is negative: runs overlap")
    edges = pairs.ravel().cumsum()
    _check_end(edges[-1], height, width)
    return write_edges(_cancel_pairs(edges), height, width)


def from_absolute_rows(text: str, height: int, width: int) -> Rle | None:
    """The COCO record of a CheXmask cell; None for ``-1``.

    Pairs (start, length): the start counts from 1; pixels run along the rows. The cost grows with the outline of the
    structure, not with the image.

    Raises:
        DataError: blank, not whole numbers in pairs, a start below 1, an empty run, overlapping runs, or runs past the
            last pixel.
    """
    pairs = _parse_pairs(text)
    if pairs is None:
        return None
    pairs = pairs[pairs[:, 0].argsort(kind="stable")]
    begins, ends = pairs[:, 0] - 1, pairs.sum(axis=1) - 1
    if begins[0] < 0:
        raise DataError(f"a run starts at {pairs[0, 0]}; starts count from 1")
    overlap = np.flatnonzero(begins[1:] < ends[:-1])
    if overlap.size:
        raise DataError(f"the runs that start at {pairs[overlap[0], 0]} and {pairs[overlap[0] + 1, 0]} overlap")
    _check_end(ends[-1], height, width)
    return write_edges(_transpose(np.stack([begins, ends], axis=1), height, width), height, width)


def from_mask(mask: np.ndarray) -> Rle:
    """The COCO record of a mask (H, W); what is not zero is inside."""
    # OpenCV transposes by blocks, much faster than NumPy's copy to Fortran order.
    inside = cv2.transpose((np.ascontiguousarray(mask) != 0).view(np.uint8)).T
    return _as_text(coco_mask.encode(inside))


def union(rles: Sequence[Rle]) -> Rle:
    """The mask that holds every pixel of any of the masks, which are valid records.

    Raises:
        DataError: there is none, or sizes differ.
    """
    sizes = {tuple(rle["size"]) for rle in rles}
    if len(sizes) != 1:
        raise DataError(f"masks of {len(sizes)} sizes cannot be united: {sorted(sizes)}")
    return _as_text(coco_mask.merge(rles))


def components(rle: Rle) -> list[Rle]:
    """The connected parts of a mask (neighbours by side or corner), ordered by their first pixels down the columns."""
    return [write_edges(_cancel_pairs(runs.ravel()), *rle["size"]) for runs in _connected_runs(rle)]


def regions(mask: np.ndarray) -> list[Rle]:
    """The connected regions (8 neighbours) of a mask (H, W), largest first; together they are the mask."""
    parts = sorted(components(from_mask(mask)), key=coco_mask.area, reverse=True)
    if len(parts) > MAX_REGIONS:
        parts[MAX_REGIONS:] = [union(parts[MAX_REGIONS:])]
    return parts


def boxes_from_mask(rle: Rle, min_area: int = 1) -> np.ndarray:
    """The box round each connected part of a mask, in the order of :func:`components`.

    Args:
        min_area: parts of fewer pixels are left out.

    Returns:
        float64 (N, 4): corners x0, y0, x1, y1 in pixels; a single pixel is 1 wide.
    """
    boxes = []
    for runs in _connected_runs(rle):
        x, y = np.divmod(runs[:, 0], rle["size"][0])
        lengths = runs[:, 1] - runs[:, 0]
        if lengths.sum() >= min_area:
            boxes.append((x.min(), y.min(), x.max() + 1, (y + lengths).max()))
    return np.array(boxes, np.float64).reshape(-1, 4)


def check_run_lengths(segmentation: Mapping[str, Any], height: int, width: int) -> np.ndarray:
    """The run lengths of a COCO record (counts are a list or compressed text), after checking that they fill the image.

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


def read_edges(rle: Mapping[str, Any]) -> np.ndarray:
    """The edges of a COCO record, int64 (2N,): begins and ends of its N runs.

    Raises:
        DataError: as :func:`check_run_lengths`.
    """
    edges = check_run_lengths(rle, *rle.get("size", (0, 0))).cumsum()
    return _cancel_pairs(edges[: len(edges) // 2 * 2])  # an odd last run is outside


def compress(record: Mapping[str, Any]) -> Rle:
    """A valid COCO record whose counts may be a list or bytes, with counts as text."""
    if isinstance(record["counts"], str):
        return dict(record)
    if isinstance(record["counts"], bytes):
        return _as_text(record)
    return _as_text(coco_mask.frPyObjects(dict(record), *record["size"]))


def write_edges(edges: np.ndarray, height: int, width: int) -> Rle:
    """The COCO record of a mask with these edges."""
    counts = np.diff(edges, prepend=0, append=height * width)
    counts = counts[:-1] if counts[-1] == 0 and len(counts) > 1 else counts  # a run that ends with the image
    record = {"size": [height, width], "counts": counts.tolist()}
    return _as_text(coco_mask.frPyObjects(record, height, width))


def _as_text(record: Mapping[str, Any]) -> Rle:
    """A record of pycocotools with its counts as text, which JSON can hold."""
    return {"size": list(record["size"]), "counts": record["counts"].decode("ascii")}


def _uncompress(text: str | bytes) -> np.ndarray:
    """COCO's compressed counts: base 32 digits, lowest first, from the third on as differences to the last but one."""
    data = np.frombuffer(text.encode("ascii") if isinstance(text, str) else text, np.uint8).astype(np.int64) - 48
    if not data.size or data.min() < 0 or data.max() > 63 or data[-1] & 32:
        raise ValueError("not a compressed run-length text")
    ends = np.flatnonzero((data & 32) == 0)
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    values = np.add.reduceat((data & 31) << (5 * _ranges(np.zeros_like(starts), lengths)), starts)
    negative = (data[ends] & 16) != 0
    values -= negative * (np.int64(1) << (5 * lengths))
    values[1::2] = values[1::2].cumsum()
    values[2::2] = values[2::2].cumsum()
    return values


def _parse_pairs(text: str) -> np.ndarray | None:
    """int64 (N, 2), or None for -1."""
    if not isinstance(text, str) or not text.strip():
        raise DataError(f"no run lengths ({text!r}); an image without a mask has -1")
    if text.strip() == "-1":
        return None
    try:
        numbers = np.array(text.split(), dtype=np.int64)
    except (ValueError, OverflowError):
        raise DataError(f"run lengths must be whole numbers, not {text[:40]!r}") from None
    if len(numbers) % 2:
        raise DataError(f"{len(numbers)} numbers; run lengths come in pairs, so the text was cut short")
    pairs = numbers.reshape(-1, 2)
    if pairs[:, 1].min() < 1:
        run = int(pairs[:, 1].argmin())
        raise DataError(f"run {run + 1} has the length {pairs[run, 1]}; it must be 1 or more")
    return pairs


def _check_end(end: int, height: int, width: int) -> None:
    if not 0 <= end <= height * width:
        raise DataError(
            f"the runs reach pixel {end}, but an image of {width} x {height} (width x height) has {height * width}; "
            "they belong to another image or another size of it"
        )


def _cancel_pairs(edges: np.ndarray) -> np.ndarray:
    """Sorts edges; two at one place cancel."""
    places, times = np.unique(edges, return_counts=True)
    return places[times % 2 == 1]


def _ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The numbers from each start on, as many as its length, one range after another."""
    return np.arange(lengths.sum()) + np.repeat(starts - (lengths.cumsum() - lengths), lengths)


def _split_at_lines(runs: np.ndarray, line: int) -> np.ndarray:
    """Runs (N, 2), cut where they pass from one line of that length to the next."""
    first, last = runs[:, 0] // line, (runs[:, 1] - 1) // line
    pieces = last - first + 1
    starts = _ranges(first, pieces) * line
    begins, ends = np.repeat(runs, pieces, axis=0).T
    return np.stack([np.maximum(begins, starts), np.minimum(ends, starts + line)], axis=1)


def _transpose(runs: np.ndarray, height: int, width: int) -> np.ndarray:
    """Edges down the columns from runs (N, 2) along the rows.

    A step down column c, from row r - 1 to row r, is where exactly one of the two rows has c inside. The columns where
    two rows differ lie between the edges of both, taken together.
    """
    begins, ends = _split_at_lines(runs, width).T
    row = begins // width
    sides = np.concatenate([begins - row * width, ends - row * width])
    # Each run is seen by the step into its row and by the step out of it.
    steps = np.concatenate([row, row, row + 1, row + 1]) * (width + 1) + np.tile(sides, 2)
    low, high = _cancel_pairs(steps).reshape(-1, 2).T
    step, first = np.divmod(low, width + 1)
    lengths = high - low
    return _cancel_pairs(_ranges(first, lengths) * height + np.repeat(step, lengths))


def _connected_runs(rle: Rle) -> list[np.ndarray]:
    """The runs (N, 2) of each connected part, cut at the ends of the columns; parts are ordered by their first run."""
    height = rle["size"][0]
    runs = _split_at_lines(read_edges(rle).reshape(-1, 2), height)
    if not len(runs):
        return []
    begins, ends = runs.T
    top = begins // height * height
    # What a run touches in the next column, corners included.
    low, high = np.maximum(begins - 1, top) + height, np.minimum(ends + 1, top + height) + height
    first, stop = np.searchsorted(ends, low, "right"), np.searchsorted(begins, high, "left")
    neighbours = np.maximum(stop - first, 0)
    edges = np.repeat(np.arange(len(runs)), neighbours), _ranges(first, neighbours)
    graph = coo_array((np.ones(len(edges[0]), np.int8), edges), shape=(len(runs), len(runs)))
    _, labels = connected_components(graph, directed=False)  # numbered by their first run
    order = labels.argsort(kind="stable")
    return np.split(runs[order], np.flatnonzero(np.diff(labels[order])) + 1)

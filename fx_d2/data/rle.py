"""Run-length masks of the published datasets as COCO records, and what is asked of masks without drawing them.

A COCO record here is ``{"size": [height, width], "counts": text}``: alternate runs outside and inside, down the
columns, in COCO's compressed form, some 1 to 4 KB for a lung or a pneumothorax.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from .errors import DataError
from .runs import read_edges, write_edges, xor_edges

Rle = dict[str, Any]
_NO_MASK = "-1"


def from_relative_columns(text: str, height: int, width: int) -> Rle | None:
    """The mask of a SIIM-ACR or CANDID-PTX row.

    Pairs (offset, length): the offset counts from the end of the run before, the first one from pixel 0; pixels run
    down the columns. ``-1`` is an image without the finding.

    Returns:
        A COCO record, or None for ``-1``.

    Raises:
        DataError: blank, not whole numbers in pairs, a negative offset, an empty run, or runs past the last pixel.
    """
    pairs = _read_pairs(text)
    if pairs is None:
        return None
    if pairs[:, 0].min() < 0:
        raise DataError(f"run {int(pairs[:, 0].argmin()) + 1}: offset {pairs[:, 0].min()} is negative: runs overlap")
    edges = pairs.ravel().cumsum()
    _check_end(edges[-1], height, width)
    return write_edges(xor_edges(edges), height, width)


def from_absolute_rows(text: str, height: int, width: int) -> Rle | None:
    """The mask of a CheXmask cell.

    Pairs (start, length): the start counts from 1; pixels run along the rows. Worked out from the ends of the runs, so
    the cost grows with the outline of the structure, not with the image.

    Returns:
        A COCO record, or None for ``-1``.

    Raises:
        DataError: blank, not whole numbers in pairs, a start below 1, an empty run, overlapping runs, or runs past the
            last pixel.
    """
    pairs = _read_pairs(text)
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
    flat = np.concatenate(([False], (np.asarray(mask) != 0).ravel(order="F"), [False]))
    return write_edges(np.flatnonzero(flat[1:] != flat[:-1]), *mask.shape)


def union(rles: Sequence[Mapping[str, Any]]) -> Rle:
    """The mask that holds every pixel of any of the masks; all have one size.

    Raises:
        DataError: there is none, or sizes differ.
    """
    sizes = {tuple(rle["size"]) for rle in rles}
    if len(sizes) != 1:
        raise DataError(f"masks of {len(sizes)} sizes cannot be united: {sorted(sizes)}")
    edges = [read_edges(rle) for rle in rles]
    places = np.concatenate(edges)
    steps = np.concatenate([np.tile([1, -1], len(each) // 2) for each in edges]).astype(np.int64)
    order = np.argsort(places, kind="stable")
    places, first = np.unique(places[order], return_index=True)
    depth = np.add.reduceat(steps[order], first).cumsum() if len(places) else places
    inside = np.concatenate(([False], depth > 0))
    return write_edges(places[inside[1:] != inside[:-1]], *next(iter(sizes)))


def area(rle: Mapping[str, Any]) -> int:
    """Pixels of a mask."""
    edges = read_edges(rle)
    return int(edges[1::2].sum() - edges[0::2].sum())


def components(rle: Mapping[str, Any]) -> list[Rle]:
    """The connected parts of a mask (neighbours by side or corner), ordered by their first pixels down the columns."""
    height, width = rle["size"]
    runs, labels = _label_runs(read_edges(rle), height)
    return [
        write_edges(xor_edges(runs[labels == number].ravel()), height, width)
        for number in range(labels.max(initial=-1) + 1)
    ]


def boxes_from_mask(rle: Mapping[str, Any], min_area: int = 1) -> np.ndarray:
    """The box round each connected part of a mask, in the order of :func:`components`.

    Args:
        rle: a COCO record.
        min_area: parts of fewer pixels are left out.

    Returns:
        float64 (N, 4): corners x0, y0, x1, y1 in pixels, a single pixel being 1 wide.
    """
    height = rle["size"][0]
    runs, labels = _label_runs(read_edges(rle), height)
    column, top = np.divmod(runs[:, 0], height)
    boxes = []
    for number in range(labels.max(initial=-1) + 1):
        own = labels == number
        lengths = runs[own, 1] - runs[own, 0]
        if lengths.sum() >= min_area:
            x, y = column[own], top[own]
            boxes.append((x.min(), y.min(), x.max() + 1, (y + lengths).max()))
    return np.array(boxes, np.float64).reshape(-1, 4)


def _read_pairs(text: str) -> np.ndarray | None:
    """int64 (N, 2), or None for -1."""
    if not isinstance(text, str) or not text.strip():
        raise DataError(f"no run lengths ({text!r}); an image without a mask has -1")
    if text.strip() == _NO_MASK:
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


def _transpose(runs: np.ndarray, height: int, width: int) -> np.ndarray:
    """Edges down the columns from runs (N, 2) along the rows.

    A step down column c, from row r - 1 to row r, is where exactly one of the two rows has c inside. The columns where
    two rows differ lie between the edges of both, taken together.
    """
    begins, ends = _split(runs, width)
    row = begins // width
    sides = np.concatenate([begins - row * width, ends - row * width])
    # Each run is seen by the step into its row and by the step out of it.
    steps = np.concatenate([row, row, row + 1, row + 1]) * (width + 1) + np.tile(sides, 2)
    low, high = xor_edges(steps).reshape(-1, 2).T
    step, first = np.divmod(low, width + 1)
    lengths = high - low
    columns = np.arange(lengths.sum()) - np.repeat(lengths.cumsum() - lengths, lengths) + np.repeat(first, lengths)
    return xor_edges(columns * height + np.repeat(step, lengths))


def _split(runs: np.ndarray, line: int) -> tuple[np.ndarray, np.ndarray]:
    """Begins and ends of runs (N, 2), cut where they pass from one line of that length to the next."""
    first, last = runs[:, 0] // line, (runs[:, 1] - 1) // line
    pieces = last - first + 1
    lines = np.arange(pieces.sum()) - np.repeat(pieces.cumsum() - pieces, pieces) + np.repeat(first, pieces)
    begins = np.maximum(np.repeat(runs[:, 0], pieces), lines * line)
    return begins, np.minimum(np.repeat(runs[:, 1], pieces), (lines + 1) * line)


def _label_runs(edges: np.ndarray, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Runs (N, 2) that stay within a column, and the number (N,) of the connected part of each, by first appearance."""
    begins, ends = _split(edges.reshape(-1, 2), height)
    top = begins // height * height
    # What a run touches in the next column, corners included.
    low, high = np.maximum(begins - 1, top) + height, np.minimum(ends + 1, top + height) + height
    first, stop = np.searchsorted(ends, low, "right"), np.searchsorted(begins, high, "left")
    touches = np.maximum(stop - first, 0)
    source = np.repeat(np.arange(len(begins)), touches)
    target = np.arange(touches.sum()) - np.repeat(touches.cumsum() - touches, touches) + np.repeat(first, touches)
    graph = coo_array((np.ones(len(source), np.int8), (source, target)), shape=(len(begins), len(begins)))
    _, labels = connected_components(graph, directed=False) if len(begins) else (0, np.zeros(0, np.int64))
    _, seen, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(seen), np.int64)
    rank[np.argsort(seen)] = np.arange(len(seen))
    return np.stack([begins, ends], axis=1), rank[inverse]

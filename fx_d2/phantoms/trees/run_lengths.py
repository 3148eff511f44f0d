"""Run lengths in the publishers' own words, made by drawing the mask and walking over its pixels."""

from __future__ import annotations

import numpy as np


def _runs(flat: np.ndarray) -> list[tuple[int, int]]:
    """Begin (from 0) and length of every run of True."""
    padded = np.concatenate(([False], flat, [False]))
    edges = np.flatnonzero(padded[1:] != padded[:-1]).tolist()
    return [(begin, end - begin) for begin, end in zip(edges[::2], edges[1::2], strict=True)]


def relative_columns(mask: np.ndarray) -> str:
    """SIIM-ACR and CANDID-PTX: down the columns, each offset counted from the end of the run before."""
    words, last = [], 0
    for begin, length in _runs(mask.ravel(order="F")):
        words += [begin - last, length]
        last = begin + length
    return " ".join(map(str, words))


def absolute_rows(mask: np.ndarray) -> str:
    """CheXmask: along the rows, each start counted from 1."""
    return " ".join(f"{begin + 1} {length}" for begin, length in _runs(mask.ravel()))


def ellipse(height: int, width: int, box: tuple[int, int, int, int]) -> np.ndarray:
    """Boolean (height, width), True in the ellipse that touches the sides of a box x0, y0, x1, y1."""
    x0, y0, x1, y1 = box
    y, x = np.mgrid[0.5 : height + 0.5, 0.5 : width + 0.5]
    return ((x - (x0 + x1) / 2) / ((x1 - x0) / 2)) ** 2 + ((y - (y0 + y1) / 2) / ((y1 - y0) / 2)) ** 2 <= 1

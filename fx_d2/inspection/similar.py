"""Finds all pairs of alike pictures without comparing every pair in full."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from .fingerprint import CANDIDATE, SAME, coarse, fine, mirrored

# Length of the short vectors, and how many pictures their directions are taken from.
_SHORT, _SAMPLE = 32, 4096
_BLOCK = 1024


@dataclass(frozen=True)
class Match:
    """Two alike pictures, by number; ``how`` is copy, mirrored, inverted or mirrored and inverted."""

    first: int
    second: int
    correlation: float
    how: str


def find_similar(thumbnails: np.ndarray, progress: bool = False) -> Iterator[Match]:
    """All pairs of pictures that are one radiograph.

    Candidates are the pairs whose coarse correlation reaches :data:`CANDIDATE`; none of them is missed. Each coarse
    vector is projected on a few directions, and the length of what is left over becomes one more coordinate. The
    product of two such short vectors is never below that of the whole ones (Cauchy-Schwarz), so one small matrix
    product per block discards nearly all pairs. What is left is compared in full, first coarse, then fine.

    Args:
        thumbnails: uint8 (N, 48, 48).
    """
    vectors = coarse(thumbnails)
    directions = _directions(vectors)
    known, flipped = _shorten(vectors, directions), _shorten(mirrored(vectors), directions)
    opposite = np.r_[-np.ones(_SHORT), 1].astype(np.float32)  # negative, but for the left-over length
    queries = {"copy": known, "mirrored": flipped}
    queries |= {"inverted": known * opposite, "mirrored and inverted": flipped * opposite}
    starts = range(0, len(vectors), _BLOCK)
    for start in tqdm(starts, desc="comparing pictures", unit="block", disable=not progress, leave=False):
        for how, query in queries.items():
            rows, columns = _candidates(query, known, start)
            yield from _decide(thumbnails, vectors, rows, columns, how)


def _candidates(query: np.ndarray, known: np.ndarray, start: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (row, column) of a block of queries and later pictures that may be candidates; each pair once."""
    parts = []
    for left in range(start, len(known), _BLOCK):
        bound = query[start : start + _BLOCK] @ known[left : left + _BLOCK].T
        rows, columns = np.divmod(np.flatnonzero(bound >= CANDIDATE - 1e-4), bound.shape[1])
        later = columns + left > rows + start
        parts.append(np.stack([rows[later] + start, columns[later] + left]))
    rows, columns = np.concatenate(parts, axis=1)
    return rows, columns


def _directions(vectors: np.ndarray) -> np.ndarray:
    """Orthonormal directions along which pictures differ most: (576, 32)."""
    sample = vectors[:: max(1, len(vectors) // _SAMPLE)]
    _, directions = np.linalg.eigh(sample.T.astype(np.float64) @ sample)
    return np.ascontiguousarray(directions[:, -_SHORT:], np.float32)


def _shorten(vectors: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Coordinates along the directions and the length of the rest: (N, 33)."""
    short = vectors @ directions
    rest = np.sqrt(np.maximum((vectors**2).sum(1) - (short**2).sum(1), 0))
    return np.hstack([short, rest[:, None]])


def _decide(
    thumbnails: np.ndarray, vectors: np.ndarray, first: np.ndarray, second: np.ndarray, how: str
) -> Iterator[Match]:
    for begin in range(0, len(first), _BLOCK):
        a, b = first[begin : begin + _BLOCK], second[begin : begin + _BLOCK]
        candidates = _correlate(vectors[a], vectors[b], how) >= CANDIDATE
        a, b = a[candidates], b[candidates]
        if not len(a):
            continue
        values = _correlate(fine(thumbnails[a]), fine(thumbnails[b]), how)
        for i in np.flatnonzero(values >= SAME):
            yield Match(int(a[i]), int(b[i]), min(1.0, float(values[i])), how)


def _correlate(a: np.ndarray, b: np.ndarray, how: str) -> np.ndarray:
    """Row by row."""
    a = mirrored(a) if "mirrored" in how else a
    return (-1 if "inverted" in how else 1) * np.einsum("ij,ij->i", a, b)

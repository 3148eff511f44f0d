"""Expected calibration error and the reliability curve."""

from __future__ import annotations

import numpy as np

BINS = 15


def reliability(labels: np.ndarray, scores: np.ndarray, bins: int = BINS) -> dict[str, list[float]]:
    """The reliability curve over bins of equal width; empty bins are left out.

    Shapes:
        labels (N,) bool, scores (N,) in 0..1. Returns lists: ``low, high`` (edges), ``count``, ``score`` (mean of
        the bin), ``frequency`` (share of positives).
    """
    if len(scores) and not 0 <= scores.min() <= scores.max() <= 1:
        raise ValueError(f"calibration needs scores in 0..1, not {scores.min()}..{scores.max()}")
    edges = np.linspace(0.0, 1.0, bins + 1)
    # A bin holds its upper edge, the first one 0 too.
    number = np.clip(np.searchsorted(edges, scores, side="left") - 1, 0, bins - 1)
    counts = np.bincount(number, minlength=bins)
    used = counts > 0
    return {
        "low": edges[:-1][used].tolist(),
        "high": edges[1:][used].tolist(),
        "count": counts[used].tolist(),
        "score": (np.bincount(number, scores, bins)[used] / counts[used]).tolist(),
        "frequency": (np.bincount(number, labels, bins)[used] / counts[used]).tolist(),
    }


def expected_calibration_error(curve: dict[str, list[float]]) -> float:
    """Mean over images of the distance between their bin's score and frequency; NaN without images.

    Naeini, Cooper and Hauskrecht, AAAI 2015; Guo et al., ICML 2017.
    """
    if not curve["count"]:
        return float("nan")
    return float(np.average(np.abs(np.subtract(curve["score"], curve["frequency"])), weights=curve["count"]))

"""Operating points, the score from which a finding is called, chosen on validation; calibration of the scores."""

from __future__ import annotations

import numpy as np

from .roc import counts_at_thresholds
from .tables import FindingTable

# {class: {"threshold": t, "source": where it comes from}}
Thresholds = dict[str, dict[str, float | str]]
# Used where validation cannot choose one.
DEFAULT_THRESHOLD = 0.5
CRITERIA = ("youden", "f1")


def default_thresholds(classes: tuple[str, ...], reason: str) -> Thresholds:
    return {name: {"threshold": DEFAULT_THRESHOLD, "source": f"default: {reason}"} for name in classes}


def choose_thresholds(table: FindingTable, criterion: str, split: str) -> Thresholds:
    """The threshold of every class that is best on these images; 0.5 for a class without both outcomes on them.

    A finding is called where score >= threshold. Candidates are the scores that occur; of equals the highest.

    Args:
        criterion: ``youden`` maximises sensitivity + specificity - 1 (Youden, Cancer 1950), ``f1`` the F1 score.

    Raises:
        ValueError: the criterion is unknown.
    """
    if criterion not in CRITERIA:
        raise ValueError(f"unknown criterion {criterion!r} of an operating point; there are {', '.join(CRITERIA)}")
    points: Thresholds = {}
    for index, name in enumerate(table.classes):
        labels, scores = table.known_labels(index)
        if labels.all() or not labels.any():
            missing = "without" if labels.any() else "with"
            points.update(default_thresholds((name,), f"no {split} image {missing} the finding"))
            continue
        thresholds, tp, predicted = counts_at_thresholds(labels, scores)
        positives = labels.sum()
        quality = 2 * tp / (predicted + positives)
        if criterion == "youden":
            quality = tp / positives - (predicted - tp) / (len(labels) - positives)
        best = float(thresholds[quality.argmax()])
        points[name] = {"threshold": best, "source": f"{criterion} on the {split} split"}
    return points


def reliability(labels: np.ndarray, scores: np.ndarray, bins: int = 15) -> dict[str, list[float]]:
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

"""Operating points: the score from which a finding is called, chosen on validation, applied to the test images."""

from __future__ import annotations

import numpy as np

from .tables import FindingTable

# {class: {"threshold": t, "source": where it comes from}}
Thresholds = dict[str, dict[str, float | str]]
# Used where validation cannot say.
DEFAULT_THRESHOLD = 0.5
CRITERIA = ("youden", "f1")


def default_thresholds(classes: tuple[str, ...], reason: str) -> Thresholds:
    return {name: {"threshold": DEFAULT_THRESHOLD, "source": f"default: {reason}"} for name in classes}


def choose_thresholds(table: FindingTable, criterion: str, split: str) -> Thresholds:
    """The threshold of every class that is best on these images; 0.5 for a class without both outcomes on them.

    A finding is called where score >= threshold. Candidates are the scores that occur; of equally good ones the
    highest is taken.

    Args:
        criterion: ``youden`` maximises sensitivity + specificity - 1 (Youden, Cancer 1950), ``f1`` the F1 score.

    Raises:
        ValueError: the criterion is unknown.
    """
    if criterion not in CRITERIA:
        raise ValueError(f"unknown criterion {criterion!r} of an operating point; there are {', '.join(CRITERIA)}")
    chosen = {}
    for index, name in enumerate(table.classes):
        labels, scores = known_labels(table, index)
        if labels.all() or not labels.any():
            missing = "without" if labels.any() else "with"
            chosen.update(default_thresholds((name,), f"no {split} image {missing} the finding"))
        else:
            threshold = _best(labels, scores, criterion)
            chosen[name] = {"threshold": threshold, "source": f"{criterion} on the {split} split"}
    return chosen


def known_labels(table: FindingTable, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels (bool) and scores of one class over the images labelled 0 or 1."""
    labels, scores = table.labels[:, index], table.scores[:, index]
    known = (labels == 0) | (labels == 1)
    return labels[known] == 1, scores[known]


def _best(labels: np.ndarray, scores: np.ndarray, criterion: str) -> float:
    order = np.argsort(-scores, kind="stable")
    scores, labels = scores[order], labels[order]
    last = np.append(scores[1:] != scores[:-1], True)  # the end of a run of equal scores: they are called together
    hits, called = labels.cumsum()[last], np.flatnonzero(last) + 1
    positives = labels.sum()
    if criterion == "f1":
        quality = 2 * hits / (called + positives)
    else:
        quality = hits / positives - (called - hits) / (len(labels) - positives)
    return float(scores[last][quality.argmax()])

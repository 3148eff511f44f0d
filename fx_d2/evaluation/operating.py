"""Operating points: the score from which a finding is called, chosen on validation, applied to the test images."""

from __future__ import annotations

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

    A finding is called where score >= threshold. Candidates are the scores that occur; of equally good ones the
    highest is taken.

    Args:
        criterion: ``youden`` maximises sensitivity + specificity - 1 (Youden, Cancer 1950), ``f1`` the F1 score.

    Raises:
        ValueError: the criterion is unknown.
    """
    if criterion not in CRITERIA:
        raise ValueError(f"unknown criterion {criterion!r} of an operating point; there are {', '.join(CRITERIA)}")
    chosen: Thresholds = {}
    for index, name in enumerate(table.classes):
        labels, scores = table.known_labels(index)
        if labels.all() or not labels.any():
            missing = "without" if labels.any() else "with"
            chosen.update(default_thresholds((name,), f"no {split} image {missing} the finding"))
            continue
        thresholds, tp, called = counts_at_thresholds(labels, scores)
        positives = labels.sum()
        if criterion == "f1":
            quality = 2 * tp / (called + positives)
        else:
            quality = tp / positives - (called - tp) / (len(labels) - positives)
        best = float(thresholds[quality.argmax()])
        chosen[name] = {"threshold": best, "source": f"{criterion} on the {split} split"}
    return chosen

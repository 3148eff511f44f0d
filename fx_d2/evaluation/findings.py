"""Findings: area under the ROC curve, average precision, operating points, calibration."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from .estimates import Estimate, UnitScore, undefined, with_classes
from .tables import FindingTable, Options


def score_findings(table: FindingTable, options: Options | None = None, thresholds=None) -> UnitScore:
    """``AUROC`` and ``AP`` per class over the images whose label is known, and their means.

    A class is defined where both outcomes occur; otherwise it is None and left out of the mean. NaN labels and soft
    labels (0 < y < 1: the reader was uncertain) are unknown here. Exclusive classes also get ``Accuracy``: the share
    of labelled images whose class has the highest score.
    """
    columns = list(zip(table.labels.T, table.scores.T, strict=True))
    per_class = {
        "AUROC": [_score_class(roc_auc_score, y, s) for y, s in columns],
        "AP": [_score_class(average_precision_score, y, s) for y, s in columns],
    }
    score = UnitScore(with_classes(table.classes, per_class))
    if table.exclusive:
        score.estimates["Accuracy"] = _accuracy(table.labels, table.scores)
    return score


def _score_class(metric, labels: np.ndarray, scores: np.ndarray) -> Estimate:
    """The metric over the images labelled 0 or 1; None unless both occur."""
    known = (labels == 0) | (labels == 1)
    truth = labels[known] == 1
    if not truth.any():
        return undefined("no image has the finding", int(known.sum()))
    if truth.all():
        return undefined("no image is without the finding", int(known.sum()))
    return Estimate(float(metric(truth, scores[known])), count=int(known.sum()))


def _accuracy(labels: np.ndarray, scores: np.ndarray) -> Estimate:
    known = (labels == 1).any(axis=1)
    if not known.any():
        return undefined("no image is labelled", 0)
    hits = labels[known].argmax(axis=1) == scores[known].argmax(axis=1)
    return Estimate(float(hits.mean()), count=int(known.sum()))

"""Image-level findings: area under the ROC curve and average precision."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from .base import Metrics, UnitEvaluator, with_classes


class ClassificationEvaluator(UnitEvaluator):
    """``AUROC`` and ``AP`` per class over the images whose label is known, and their means.

    A class is defined where both outcomes occur; otherwise it is None and left out of the mean. NaN labels and soft
    labels (0 < y < 1: the reader was uncertain) are unknown here. Exclusive classes also get ``Accuracy``: the share
    of labelled images whose class has the highest score.
    """

    task = "cls"

    def measure(self, record: dict, output: Mapping) -> np.ndarray:
        """-> (K,) float64 scores."""
        scores = output["scores"].detach().cpu().double().numpy()
        if scores.shape != (len(self.classes),):
            raise self.fault(record, f"scores of shape {scores.shape} for {len(self.classes)} classes")
        if not np.isfinite(scores).all():
            raise self.fault(record, "a score is not finite; the network has diverged")
        return scores

    def summarise(self, measured: list[np.ndarray]) -> Metrics:
        scores = np.stack(measured)
        labels = np.array([record["labels"] for record in self.records.values()], dtype=np.float64)
        columns = list(zip(labels.T, scores.T, strict=True))
        metrics = with_classes(
            self.classes,
            {
                "AUROC": [_score_class(roc_auc_score, y, s) for y, s in columns],
                "AP": [_score_class(average_precision_score, y, s) for y, s in columns],
            },
        )
        if self.exclusive:
            metrics["Accuracy"] = _accuracy(labels, scores)
        return metrics


def _score_class(metric, labels: np.ndarray, scores: np.ndarray) -> float | None:
    """The metric over the images labelled 0 or 1; None unless both occur."""
    known = (labels == 0) | (labels == 1)
    truth = labels[known] == 1
    if truth.all() or not truth.any():
        return None
    return float(metric(truth, scores[known]))


def _accuracy(labels: np.ndarray, scores: np.ndarray) -> float | None:
    known = (labels == 1).any(axis=1)
    if not known.any():
        return None
    return float((labels[known].argmax(axis=1) == scores[known].argmax(axis=1)).mean())

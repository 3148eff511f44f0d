"""The metrics of findings as functions of image weights: once with weight 1, and once per bootstrap replicate."""

from __future__ import annotations

import numpy as np

from .bootstrap import ratio
from .operating import Thresholds
from .roc import RankedScores
from .tables import FindingTable

AREAS = ("AUROC", "AP")
RATES = ("Sensitivity", "Specificity", "PPV", "NPV", "F1")


class FindingStatistic:
    """(b, N) weights -> (b, S) values in the order of :attr:`names`; NaN is undefined.

    Areas are defined where both outcomes have weight, rates where their denominator has. F1 is undefined without
    positives.
    """

    def __init__(self, table: FindingTable, thresholds: Thresholds) -> None:
        columns = [
            (*table.known_labels(index), np.flatnonzero(np.isin(labels, (0, 1))))
            for index, labels in enumerate(table.labels.T)
        ]
        pooled = tuple(np.concatenate(parts) for parts in zip(*columns, strict=True))
        self.ranked = [
            RankedScores(labels, scores, images) if labels.any() and not labels.all() else None
            for labels, scores, images in [*columns, pooled]
        ]
        positive, negative = table.labels == 1, table.labels == 0
        predicted = table.scores >= np.array([thresholds[name]["threshold"] for name in table.classes], float)
        cells = [positive & predicted, positive & ~predicted, negative & predicted, negative & ~predicted]
        # (N, 4 K): 1 in the cell of the confusion table into which an image falls; unknown labels in none.
        self.cells = np.stack(cells, axis=2).reshape(len(positive), -1).astype(np.float32)
        # (N, 2): 1 where the highest score is the true class's, 1 where the image is labelled.
        labelled = positive.any(axis=1)
        correct = labelled & (positive.argmax(axis=1) == table.scores.argmax(axis=1))
        self.accuracy_cells = np.stack([correct, labelled], axis=1).astype(np.float64) if table.exclusive else None
        self.names = [
            *(f"{area}/{name}" for name in table.classes for area in AREAS),
            *(f"{area}_micro" for area in AREAS),
            *(f"{rate}/{name}" for rate in RATES for name in table.classes),
            "F1_micro",
            *(["Accuracy"] if table.exclusive else []),
        ]

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        undefined = np.full((len(weights), len(AREAS)), np.nan)
        areas = [undefined if ranked is None else ranked.areas(weights) for ranked in self.ranked]
        tp, fn, fp, tn = np.moveaxis(self.confusion(weights), 2, 0)
        rates = [ratio(tp, tp + fn), ratio(tn, tn + fp), ratio(tp, tp + fp), ratio(tn, tn + fn), _f1(tp, fn, fp)]
        columns = [*areas, *rates, _f1(tp.sum(1), fn.sum(1), fp.sum(1))[:, None]]
        if self.accuracy_cells is not None:
            correct, labelled = np.moveaxis(weights.astype(np.float64) @ self.accuracy_cells, 1, 0)
            columns.append(ratio(correct, labelled)[:, None])
        return np.concatenate(columns, axis=1)

    def confusion(self, weights: np.ndarray) -> np.ndarray:
        """(b, N) -> (b, K, 4): true positives, false negatives, false positives, true negatives."""
        # float32 holds counts exactly up to 16 million images, and its product is twice as fast.
        counts = weights.astype(np.float32) @ self.cells
        return counts.reshape(len(weights), -1, 4).astype(np.float64)


def _f1(tp: np.ndarray, fn: np.ndarray, fp: np.ndarray) -> np.ndarray:
    return ratio(np.where(tp + fn > 0, 2 * tp, np.nan), 2 * tp + fp + fn)

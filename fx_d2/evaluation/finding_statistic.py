"""The metrics of findings as functions of image weights: once with weight 1, and once per bootstrap replicate."""

from __future__ import annotations

import numpy as np

from .bootstrap import ratio
from .operating import Thresholds, known_labels
from .roc import RankedScores
from .tables import FindingTable

AREAS = ("AUROC", "AP")
RATES = ("Sensitivity", "Specificity", "PPV", "NPV", "F1")


class FindingStatistic:
    """Calling it with (b, N) weights gives (b, S) values in the order of :attr:`names`; NaN is undefined.

    Areas are defined where both outcomes have weight, rates where their denominator has. F1 is undefined without
    positives.
    """

    def __init__(self, table: FindingTable, thresholds: Thresholds) -> None:
        known = [known_labels(table, index) for index in range(len(table.classes))]
        images = [np.flatnonzero(np.isin(column, (0, 1))) for column in table.labels.T]
        self.ranked = [_sort(*pair, where) for pair, where in zip(known, images, strict=True)]
        pooled = [np.concatenate(parts) for parts in ([y for y, _ in known], [s for _, s in known], images)]
        self.micro = _sort(*pooled)
        cuts = np.array([thresholds[name]["threshold"] for name in table.classes], dtype=np.float64)
        self.cells = _confusion_cells(table, cuts)
        self.hits = _top_hits(table) if table.exclusive else None
        self.names = [
            *(f"{area}/{name}" for name in table.classes for area in AREAS),
            *(f"{area}_micro" for area in AREAS),
            *(f"{rate}/{name}" for rate in RATES for name in table.classes),
            "F1_micro",
            *(["Accuracy"] if table.exclusive else []),
        ]

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        areas = [_areas(ranked, weights) for ranked in [*self.ranked, self.micro]]
        counts = self.confusion(weights)
        tp, fn, fp, tn = np.moveaxis(counts, 2, 0)
        # Without positives F1 would only count false alarms.
        f1 = ratio(np.where(tp + fn > 0, 2 * tp, np.nan), 2 * tp + fp + fn)
        rates = [ratio(tp, tp + fn), ratio(tn, tn + fp), ratio(tp, tp + fp), ratio(tn, tn + fn), f1]
        all_tp, all_fn, all_fp = tp.sum(1), fn.sum(1), fp.sum(1)
        micro = ratio(np.where(all_tp + all_fn > 0, 2 * all_tp, np.nan), 2 * all_tp + all_fp + all_fn)
        columns = [*areas, *rates, micro[:, None]]
        if self.hits is not None:
            right, labelled = np.moveaxis(weights.astype(np.float64) @ self.hits, 1, 0)
            columns.append(ratio(right, labelled)[:, None])
        return np.concatenate(columns, axis=1)

    def confusion(self, weights: np.ndarray) -> np.ndarray:
        """(b, N) -> (b, K, 4): true positives, false negatives, false positives, true negatives."""
        # float32 holds counts exactly up to 16 million images, and its product is twice as fast.
        counts = weights.astype(np.float32) @ self.cells
        return counts.reshape(len(weights), -1, 4).astype(np.float64)


def _sort(labels: np.ndarray, scores: np.ndarray, images: np.ndarray) -> RankedScores | None:
    return RankedScores.sort(labels, scores, images) if labels.any() and not labels.all() else None


def _areas(ranked: RankedScores | None, weights: np.ndarray) -> np.ndarray:
    return np.full((len(weights), len(AREAS)), np.nan) if ranked is None else ranked.areas(weights)


def _confusion_cells(table: FindingTable, cuts: np.ndarray) -> np.ndarray:
    """(N, 4 K) float32: 1 in the cell of the confusion table into which an image falls; unknown labels in none."""
    positive, negative, called = table.labels == 1, table.labels == 0, table.scores >= cuts
    cells = np.stack([positive & called, positive & ~called, negative & called, negative & ~called], axis=2)
    return cells.reshape(len(cells), -1).astype(np.float32)


def _top_hits(table: FindingTable) -> np.ndarray:
    """(N, 2): 1 where the highest score is the true class's, 1 where the image is labelled."""
    labelled = (table.labels == 1).any(axis=1)
    right = labelled & (np.nan_to_num(table.labels).argmax(axis=1) == table.scores.argmax(axis=1))
    return np.stack([right, labelled], axis=1).astype(np.float64)

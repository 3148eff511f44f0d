"""The area under the ROC curve with DeLong's variance, and weighted areas fast enough for a bootstrap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, rankdata

from .bootstrap import ratio


def delong(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Areas under the ROC curves of several models on the same images, and their covariance.

    DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988) 837-845, by the mid-ranks of Sun and Xu, IEEE Signal
    Processing Letters 21 (2014) 1389-1393. Ties count one half.

    Shapes:
        labels (N,) bool with both outcomes; scores (M, N). Returns (M,) and (M, M); the covariance is NaN where an
        outcome has a single image.
    """
    positive, negative = scores[:, labels], scores[:, ~labels]
    m, n = positive.shape[1], negative.shape[1]
    together = rankdata(np.concatenate([positive, negative], axis=1), axis=1)
    # For each positive the share of negatives below it, for each negative the share of positives above it.
    v10 = (together[:, :m] - rankdata(positive, axis=1)) / n
    v01 = 1.0 - (together[:, m:] - rankdata(negative, axis=1)) / m
    areas = v10.mean(axis=1)
    if m < 2 or n < 2:
        return areas, np.full((len(areas), len(areas)), np.nan)
    return areas, np.atleast_2d(np.cov(v10)) / m + np.atleast_2d(np.cov(v01)) / n


def delong_interval(labels: np.ndarray, scores: np.ndarray, confidence: float) -> list[float] | None:
    """The normal interval of one area, clipped to 0..1; None where the variance is undefined."""
    areas, covariance = delong(labels, scores[None])
    if np.isnan(covariance).any():
        return None
    reach = norm.ppf((1 + confidence) / 2) * np.sqrt(covariance[0, 0])
    return [max(0.0, float(areas[0] - reach)), min(1.0, float(areas[0] + reach))]


def delong_p(labels: np.ndarray, first: np.ndarray, second: np.ndarray) -> float | None:
    """Two-sided p-value of the difference between two models' areas; None where the variance is undefined."""
    areas, covariance = delong(labels, np.stack([first, second]))
    if np.isnan(covariance).any():
        return None
    difference, variance = areas[0] - areas[1], covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    if variance <= 1e-18:  # the two rank the images alike, or each is perfect
        return 1.0 if abs(difference) < 1e-12 else 0.0
    return float(2 * norm.sf(abs(difference) / np.sqrt(variance)))


@dataclass(frozen=True)
class RankedScores:
    """The images of one class sorted by falling score, so that weighted areas need cumulative sums alone.

    Only the thresholds at which a positive is found matter to either area.

    Attributes:
        columns: the image (column of the weights) of each sorted score.
        positives: likewise, of the sorted scores of positives.
        groups: where in ``positives`` each threshold's positives begin; images with equal scores share one.
        starts, ends: first and last place of each such threshold in ``columns``.
    """

    columns: np.ndarray
    positives: np.ndarray
    groups: np.ndarray
    starts: np.ndarray
    ends: np.ndarray

    @classmethod
    def sort(cls, labels: np.ndarray, scores: np.ndarray, columns: np.ndarray) -> RankedScores:
        """
        Shapes:
            labels (n,) bool with at least one True, scores (n,), columns (n,) int: the image of each.
        """
        order = np.argsort(-scores, kind="stable")
        labels, scores, columns = labels[order], scores[order], columns[order]
        first = np.append(True, scores[1:] != scores[:-1])
        group = np.cumsum(first) - 1
        starts = np.flatnonzero(first)
        ends = np.append(starts[1:], len(scores)) - 1
        found, groups = np.unique(group[labels], return_index=True)
        return cls(columns, columns[labels], groups, starts[found], ends[found])

    def areas(self, weights: np.ndarray) -> np.ndarray:
        """(b, N) weights of the images -> (b, 2): AUROC and average precision, NaN where undefined.

        Average precision is the sum over thresholds of precision times the gain in recall, without interpolation, as
        in scikit-learn.
        """
        total = np.cumsum(np.take(weights, self.columns, axis=1), axis=1, dtype=np.int32)
        called = np.take(total, self.ends, axis=1).astype(np.float64)
        before = np.where(self.starts > 0, np.take(total, self.starts - 1, axis=1), 0)
        found = np.take(weights, self.positives, axis=1)
        gained = np.add.reduceat(found, self.groups, axis=1, dtype=np.float64)
        hits = np.cumsum(gained, axis=1)
        positive = hits[:, -1]
        negative = total[:, -1] - positive
        below = negative[:, None] - (called - hits)  # negatives scored lower; those with the same score count half
        alike = (called - before) - gained
        auroc = ratio((gained * (below + alike / 2)).sum(axis=1), positive * negative)
        precision = np.divide(hits, called, out=np.zeros_like(hits), where=called > 0)
        ap = ratio((gained * precision).sum(axis=1), np.where(negative > 0, positive, 0))
        return np.stack([auroc, ap], axis=1)


def roc_points(labels: np.ndarray, scores: np.ndarray, most: int = 200) -> dict[str, list[float]]:
    """The ROC and precision-recall curves for drawing, at most ``most`` points: ``threshold, fpr, tpr, precision``."""
    order = np.argsort(-scores, kind="stable")
    labels, scores = labels[order], scores[order]
    ends = np.flatnonzero(np.append(scores[1:] != scores[:-1], True))
    if len(ends) > most:
        # Evenly along both axes: along the false positives the curve's steep part would be lost.
        path = labels.cumsum()[ends] / labels.sum() + (~labels).cumsum()[ends] / (~labels).sum()
        ends = ends[np.unique(np.searchsorted(path, np.linspace(path[0], path[-1], most)))]
    hits, called = labels.cumsum()[ends], ends + 1
    return {
        "threshold": scores[ends].tolist(),
        "fpr": ((called - hits) / (~labels).sum()).tolist(),
        "tpr": (hits / labels.sum()).tolist(),
        "precision": (hits / called).tolist(),
    }

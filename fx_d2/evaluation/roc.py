"""The area under the ROC curve with DeLong's variance, and weighted areas fast enough for a bootstrap."""

from __future__ import annotations

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
    ranks = rankdata(np.concatenate([positive, negative], axis=1), axis=1)
    # For each positive the share of negatives below it, for each negative the share of positives above it.
    v10 = (ranks[:, :m] - rankdata(positive, axis=1)) / n
    v01 = 1.0 - (ranks[:, m:] - rankdata(negative, axis=1)) / m
    areas = v10.mean(axis=1)
    if m < 2 or n < 2:
        return areas, np.full((len(areas), len(areas)), np.nan)
    return areas, np.atleast_2d(np.cov(v10)) / m + np.atleast_2d(np.cov(v01)) / n


def delong_interval(labels: np.ndarray, scores: np.ndarray, confidence: float) -> list[float] | None:
    """The normal interval of one area, clipped to 0..1; None where the variance is undefined."""
    areas, covariance = delong(labels, scores[None])
    if np.isnan(covariance).any():
        return None
    margin = norm.ppf((1 + confidence) / 2) * np.sqrt(covariance[0, 0])
    return [max(0.0, float(areas[0] - margin)), min(1.0, float(areas[0] + margin))]


def delong_p(labels: np.ndarray, first: np.ndarray, second: np.ndarray) -> float | None:
    """Two-sided p-value of the difference between two models' areas; None where the variance is undefined."""
    areas, covariance = delong(labels, np.stack([first, second]))
    if np.isnan(covariance).any():
        return None
    difference, variance = areas[0] - areas[1], covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    if variance <= 1e-18:  # the two rank the images alike, or each is perfect
        return 1.0 if abs(difference) < 1e-12 else 0.0
    return float(2 * norm.sf(abs(difference) / np.sqrt(variance)))


class RankedScores:
    """The images of one class sorted by falling score, so that weighted areas need cumulative sums alone.

    Shapes:
        labels (n,) bool with a positive, scores (n,), images (n,) int: columns of the weights.
    """

    def __init__(self, labels: np.ndarray, scores: np.ndarray, images: np.ndarray) -> None:
        order = np.argsort(-scores, kind="stable")
        labels, scores, images = labels[order], scores[order], images[order]
        self.images, self.positives = images, images[labels]
        first = np.append(True, scores[1:] != scores[:-1])
        starts = np.flatnonzero(first)
        ends = np.append(starts[1:], len(scores)) - 1
        # Only the thresholds at which there is a positive matter to either area: where their positives begin in
        # ``positives``, and their first and last position in ``images``.
        thresholds, self.groups = np.unique((np.cumsum(first) - 1)[labels], return_index=True)
        self.starts, self.ends = starts[thresholds], ends[thresholds]

    def areas(self, weights: np.ndarray) -> np.ndarray:
        """(b, N) weights -> (b, 2): AUROC and average precision as scikit-learn's, NaN where undefined."""
        total = np.cumsum(np.take(weights, self.images, axis=1), axis=1, dtype=np.int32)
        predicted = np.take(total, self.ends, axis=1).astype(np.float64)
        before = np.where(self.starts > 0, np.take(total, self.starts - 1, axis=1), 0)
        gains = np.add.reduceat(np.take(weights, self.positives, axis=1), self.groups, axis=1, dtype=np.float64)
        tp = np.cumsum(gains, axis=1)
        positive = tp[:, -1]
        negative = total[:, -1] - positive
        below = negative[:, None] - (predicted - tp)  # negatives scored lower; those with the same score count half
        tied = (predicted - before) - gains
        auroc = ratio((gains * (below + tied / 2)).sum(axis=1), positive * negative)
        precision = np.divide(tp, predicted, out=np.zeros_like(tp), where=predicted > 0)
        ap = ratio((gains * precision).sum(axis=1), np.where(negative > 0, positive, 0))
        return np.stack([auroc, ap], axis=1)


def counts_at_thresholds(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The scores that occur, falling, with the true positives and all positive predictions at each as the threshold."""
    order = np.argsort(-scores, kind="stable")
    scores = scores[order]
    ends = np.flatnonzero(np.append(scores[1:] != scores[:-1], True))
    return scores[ends], labels[order].cumsum()[ends], ends + 1


def roc_points(labels: np.ndarray, scores: np.ndarray, limit: int = 200) -> dict[str, list[float]]:
    """The ROC and precision-recall curves for drawing, at most ``limit`` points: ``threshold, fpr, tpr, precision``."""
    thresholds, tp, predicted = counts_at_thresholds(labels, scores)
    tpr, fpr, precision = tp / labels.sum(), (predicted - tp) / (~labels).sum(), tp / predicted
    curve = {"threshold": thresholds, "fpr": fpr, "tpr": tpr, "precision": precision}
    if len(thresholds) > limit:
        # Evenly along both axes: along the false positives the curve's steep part would be lost.
        path = tpr + fpr
        shown = np.unique(np.searchsorted(path, np.linspace(path[0], path[-1], limit)))
        curve = {name: values[shown] for name, values in curve.items()}
    return {name: values.tolist() for name, values in curve.items()}

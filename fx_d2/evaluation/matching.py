"""Matching of detections and truth; average precision and FROC as functions of image weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pycocotools import mask as coco_mask

from .bootstrap import ratio
from .coco import MAX_DETECTIONS, RegionSet
from .tables import RunLengths

HIT, FALSE, IGNORED = 1, 0, -1
# COCO's recall points.
_RECALLS = np.linspace(0.0, 1.0, 101)


def match(overlaps: np.ndarray, crowd: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """COCO's matching on one image and class: the best scored detection chooses first.

    Each takes the free truth that it overlaps most, if at least by the threshold; else, if it lies in a crowd, it is
    ignored. Of equal overlaps the later truth is taken, as in pycocotools.

    Shapes:
        overlaps (D, G), detections by falling score; crowd (G,) bool; thresholds (T,). Returns (T, D).
    """
    outcome = np.full((len(thresholds), len(overlaps)), FALSE, np.int8)
    regular, group = overlaps[:, ~crowd], overlaps[:, crowd]
    for t, threshold in enumerate(np.minimum(thresholds, 1 - 1e-10)):
        free = np.ones(regular.shape[1], bool)
        for d in np.flatnonzero((overlaps >= threshold).any(axis=1)):
            reached = np.where(free, regular[d], -1.0)
            best = reached.max(initial=-1.0)
            if best >= threshold:
                free[np.flatnonzero(reached == best)[-1]] = False
                outcome[t, d] = HIT
            elif (group[d] >= threshold).any():
                outcome[t, d] = IGNORED
    return outcome


@dataclass(frozen=True)
class RankedDetections:
    """The detections of one class over all images by falling score.

    Shapes:
        images, scores (M,); outcome (T, M), HIT, FALSE or IGNORED at every IoU threshold; truths (N,) true regions (no
        crowds) on each image.
    """

    images: np.ndarray
    scores: np.ndarray
    outcome: np.ndarray
    truths: np.ndarray

    def average_precision(self, weights: np.ndarray) -> np.ndarray:
        """(b, N) weights -> (b, T) COCO average precision, NaN where no truth has weight."""
        total = self._cumulative(weights)
        positives = (weights.astype(np.float64) @ self.truths)[:, None]
        columns = []
        for t in range(len(self.outcome)):
            # Recall grows at hits only, so that the interpolated precision needs no other position.
            hits = np.flatnonzero(self.outcome[t] == HIT)
            tp = self._cumulative(weights, hits)
            detections = np.take(total, hits, axis=1) - self._ignored(t, weights, hits)
            at_hits = np.divide(tp, detections, out=np.zeros(tp.shape), where=detections > 0)
            envelope = np.maximum.accumulate(at_hits[:, ::-1], axis=1)[:, ::-1]
            recall = np.divide(tp, positives, out=np.zeros(tp.shape), where=positives > 0)
            steps = np.diff(np.searchsorted(_RECALLS, recall, side="right"), axis=1, prepend=0)
            columns.append((envelope * steps).sum(axis=1) / len(_RECALLS))
        return np.where(positives > 0, np.stack(columns, axis=1), np.nan)

    def sensitivities(self, weights: np.ndarray, t: int, rates: np.ndarray) -> np.ndarray:
        """(b, N) weights -> (b, len(rates)): share of truths hit at no more than so many false positives per image.

        The threshold is the lowest score at which the rate still holds; detections of equal score are called together.
        """
        hits = np.flatnonzero(self.outcome[t] == HIT)
        hit_weights = np.take(weights, self.images[hits], axis=1).astype(np.float64)
        false = self._false_positives(t, weights, hits)
        allowed = rates * weights.sum(axis=1, dtype=np.float64)[:, None]
        within = [(hit_weights * (false <= allowed[:, [r]] + 1e-9)).sum(axis=1) for r in range(len(rates))]
        return ratio(np.stack(within, axis=1), (weights.astype(np.float64) @ self.truths)[:, None])

    def froc_curve(self, t: int, limit: int = 200) -> dict[str, list[float]]:
        """The free-response curve for drawing: ``threshold``, ``fp_per_image``, ``sensitivity`` at the hits."""
        hits = np.flatnonzero(self.outcome[t] == HIT)
        false = self._false_positives(t, np.ones((1, len(self.truths)), np.int16), hits)[0]
        curve = {
            "threshold": self.scores[hits],
            "fp_per_image": false / len(self.truths),
            "sensitivity": np.searchsorted(hits, self._last_tied(hits), side="right") / max(1, self.truths.sum()),
        }
        shown = np.unique(np.linspace(0, len(hits) - 1, min(limit, len(hits))).round().astype(int))
        return {name: values[shown].tolist() for name, values in curve.items()}

    def _false_positives(self, t: int, weights: np.ndarray, hits: np.ndarray) -> np.ndarray:
        """(b, hits): false positives among all detections that score no less than each hit."""
        ends = self._last_tied(hits)
        tp = np.take(self._cumulative(weights, hits), np.searchsorted(hits, ends, side="right") - 1, axis=1)
        return np.take(self._cumulative(weights), ends, axis=1) - tp - self._ignored(t, weights, ends)

    def _last_tied(self, positions: np.ndarray) -> np.ndarray:
        """The last position with the same score."""
        return np.searchsorted(-self.scores, -self.scores[positions], side="right") - 1

    def _cumulative(self, weights: np.ndarray, positions: np.ndarray | slice = slice(None)) -> np.ndarray:
        """(b, M): weight of the detections (at these positions) down to each."""
        return np.cumsum(np.take(weights, self.images[positions], axis=1), axis=1, dtype=np.int32)

    def _ignored(self, t: int, weights: np.ndarray, positions: np.ndarray) -> np.ndarray | int:
        """Weight of the ignored detections down to each position."""
        ignored = np.flatnonzero(self.outcome[t] == IGNORED)
        if not len(ignored):
            return 0
        before = np.pad(self._cumulative(weights, ignored), ((0, 0), (1, 0)))
        return np.take(before, np.searchsorted(ignored, positions, side="right"), axis=1)


def rank_detections(
    truth: RegionSet, predictions: RegionSet, images: int, classes: int, thresholds: np.ndarray
) -> list[RankedDetections]:
    """Matches and sorts the detections of every class; at most 100 per class and image count, the best scored."""
    ranked = []
    for category in range(classes):
        rows = np.flatnonzero(predictions.categories == category)
        # Stable: equal scores keep their order.
        rows = rows[np.lexsort((-predictions.values[rows], predictions.images[rows]))]
        starts = np.searchsorted(predictions.images[rows], predictions.images[rows])
        rows = rows[np.arange(len(rows)) - starts < MAX_DETECTIONS]
        truth_rows = np.flatnonzero(truth.categories == category)
        outcome = np.full((len(thresholds), len(rows)), FALSE, np.int8)
        for image in np.unique(truth.images[truth_rows]):
            first, last = np.searchsorted(predictions.images[rows], [image, image + 1])
            if first < last:
                targets = truth_rows[truth.images[truth_rows] == image]
                crowd = truth.values[targets] == 1
                shapes = _shapes(predictions, rows[first:last]), _shapes(truth, targets)
                overlaps = np.asarray(coco_mask.iou(*shapes, crowd.astype(np.uint8)))
                outcome[:, first:last] = match(overlaps, crowd, thresholds)
        order = np.argsort(-predictions.values[rows], kind="stable")
        regular = truth_rows[truth.values[truth_rows] == 0]
        truths = np.bincount(truth.images[regular], minlength=images).astype(np.float64)
        rows = rows[order]
        ranked.append(RankedDetections(predictions.images[rows], predictions.values[rows], outcome[:, order], truths))
    return ranked


def _shapes(regions: RegionSet, rows: np.ndarray) -> np.ndarray | list[RunLengths]:
    if isinstance(regions.shapes, np.ndarray):
        return np.ascontiguousarray(regions.shapes[rows], dtype=np.float64)
    return [regions.shapes[row] for row in rows]

"""Which detection hits which truth, and what that is worth, as functions of image weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pycocotools import mask as coco_mask

from .bootstrap import ratio
from .coco import MAX_DETECTIONS, RegionSet

HIT, FALSE, IGNORED = 1, 0, -1
# COCO's recall points.
_RECALLS = np.linspace(0.0, 1.0, 101)


def match(overlaps: np.ndarray, crowd: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """COCO's matching on one image and class: the best scored detection chooses first.

    Each takes the free truth that it overlaps most, if at least by the threshold; else, if it lies in a crowd, it is
    ignored. Of equal overlaps the later truth is taken, as in pycocotools.

    Shapes:
        overlaps (D, G), detections by falling score; crowd (G,) bool; thresholds (T,). Returns (T, D) of HIT, FALSE,
        IGNORED.
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

    Attributes:
        columns: (M,) the image of each. scores: (M,).
        outcome: (T, M) of HIT, FALSE, IGNORED, for every IoU threshold.
        truths: (N,) true regions (no crowds) on each image.
    """

    columns: np.ndarray
    scores: np.ndarray
    outcome: np.ndarray
    truths: np.ndarray

    def average_precision(self, weights: np.ndarray) -> np.ndarray:
        """(b, N) weights -> (b, T) COCO average precision, NaN where no truth has weight."""
        total = self._cumulative(weights)
        positives = weights.astype(np.float64) @ self.truths
        columns = [self._precision(t, weights, total, positives) for t in range(len(self.outcome))]
        return np.where(positives[:, None] > 0, np.stack(columns, axis=1), np.nan)

    def _precision(self, t: int, weights: np.ndarray, total: np.ndarray, positives: np.ndarray) -> np.ndarray:
        places = np.flatnonzero(self.outcome[t] == HIT)
        if not len(places):
            return np.zeros(len(weights))
        hits = np.cumsum(np.take(weights, self.columns[places], axis=1), axis=1, dtype=np.float64)
        called = np.take(total, places, axis=1) - self._ignored(t, weights, places)
        at_hits = np.divide(hits, called, out=np.zeros_like(hits), where=called > 0)
        # Recall grows at hits only, so that the interpolated precision needs no other place.
        envelope = np.maximum.accumulate(at_hits[:, ::-1], axis=1)[:, ::-1]
        recall = np.divide(hits, positives[:, None], out=np.zeros_like(hits), where=positives[:, None] > 0)
        reached = np.searchsorted(_RECALLS, recall, side="right")
        return (envelope * np.diff(reached, axis=1, prepend=0)).sum(axis=1) / len(_RECALLS)

    def sensitivities(self, weights: np.ndarray, t: int, rates: np.ndarray) -> np.ndarray:
        """(b, N) weights -> (b, len(rates)): share of truths hit at no more than so many false positives per image.

        The threshold is the lowest score at which the rate still holds; detections of equal score are called together.
        """
        places = np.flatnonzero(self.outcome[t] == HIT)
        positives = weights.astype(np.float64) @ self.truths
        if not len(places):
            return np.where(positives[:, None] > 0, np.zeros((len(weights), len(rates))), np.nan)
        gained = np.take(weights, self.columns[places], axis=1).astype(np.float64)
        false = self._false_positives(t, weights, gained, places)
        allowed = rates * weights.sum(axis=1, dtype=np.float64)[:, None]
        within = [(gained * (false <= allowed[:, [r]] + 1e-9)).sum(axis=1) for r in range(len(rates))]
        return ratio(np.stack(within, axis=1), positives[:, None])

    def _false_positives(self, t: int, weights: np.ndarray, gained: np.ndarray, places: np.ndarray) -> np.ndarray:
        """(b, hits): false positives among all detections that score no less than each hit."""
        ends = np.searchsorted(-self.scores, -self.scores[places], side="right") - 1
        hits = np.take(np.cumsum(gained, axis=1), np.searchsorted(places, ends, side="right") - 1, axis=1)
        return np.take(self._cumulative(weights), ends, axis=1) - hits - self._ignored(t, weights, ends)

    def _cumulative(self, weights: np.ndarray) -> np.ndarray:
        """(b, M): weight of the detections down to each."""
        return np.cumsum(np.take(weights, self.columns, axis=1), axis=1, dtype=np.int32)

    def _ignored(self, t: int, weights: np.ndarray, places: np.ndarray) -> np.ndarray | int:
        """Ignored detections down to each place."""
        ignored = np.flatnonzero(self.outcome[t] == IGNORED)
        if not len(ignored):
            return 0
        before = np.cumsum(np.take(weights, self.columns[ignored], axis=1), axis=1, dtype=np.int32)
        before = np.concatenate([np.zeros((len(weights), 1), np.int32), before], axis=1)
        return np.take(before, np.searchsorted(ignored, places, side="right"), axis=1)

    def froc_curve(self, t: int, most: int = 200) -> dict[str, list[float]]:
        """The free-response curve for drawing: ``threshold``, ``fp_per_image``, ``sensitivity`` at the hits."""
        places = np.flatnonzero(self.outcome[t] == HIT)
        if len(places) > most:
            places = places[np.unique(np.linspace(0, len(places) - 1, most).round().astype(int))]
        every = np.flatnonzero(self.outcome[t] == HIT)
        ones = np.ones((1, len(self.truths)), np.int16)
        gained = np.ones((1, len(every)))
        false = self._false_positives(t, ones, gained, every)[0] if len(every) else np.zeros(0)
        ends = np.searchsorted(-self.scores, -self.scores[places], side="right") - 1
        hits = np.searchsorted(every, ends, side="right")
        return {
            "threshold": self.scores[places].tolist(),
            "fp_per_image": (false[np.searchsorted(every, places)] / len(self.truths)).tolist(),
            "sensitivity": (hits / max(1, self.truths.sum())).tolist(),
        }


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
        outcome = _outcome(truth, predictions, truth_rows, rows, thresholds)
        order = np.argsort(-predictions.values[rows], kind="stable")
        regular = truth_rows[truth.values[truth_rows] == 0]
        truths = np.bincount(truth.images[regular], minlength=images).astype(np.float64)
        rows = rows[order]
        ranked.append(RankedDetections(predictions.images[rows], predictions.values[rows], outcome[:, order], truths))
    return ranked


def _outcome(
    truth: RegionSet, predictions: RegionSet, truth_rows: np.ndarray, rows: np.ndarray, thresholds: np.ndarray
) -> np.ndarray:
    """(T, len(rows)); all predictions on images without truth are FALSE."""
    outcome = np.full((len(thresholds), len(rows)), FALSE, np.int8)
    for image in np.unique(truth.images[truth_rows]):
        first, last = np.searchsorted(predictions.images[rows], [image, image + 1])
        if first == last:
            continue
        targets = truth_rows[truth.images[truth_rows] == image]
        crowd = truth.values[targets] == 1
        detections = _shapes(predictions, rows[first:last])
        overlaps = coco_mask.iou(detections, _shapes(truth, targets), crowd.astype(np.uint8))
        outcome[:, first:last] = match(np.asarray(overlaps), crowd, thresholds)
    return outcome


def _shapes(regions: RegionSet, rows: np.ndarray):
    if isinstance(regions.shapes, np.ndarray):
        return np.ascontiguousarray(regions.shapes[rows], dtype=np.float64)
    return [regions.shapes[row] for row in rows]

"""COCO's average precision of boxes and regions of masks, with the IoU 0.40 of chest radiograph papers, and FROC."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .bootstrap import add_bootstrap_intervals
from .coco import AREAS, IOU_THRESHOLDS, RegionSet, precision
from .estimates import Estimate, UnitScore
from .matching import RankedDetections, rank_detections
from .tables import BoxTable, ImageRow, Options, patients_of

# Metric -> rows of IOU_THRESHOLDS that it averages.
METRICS = {"AP": slice(1, None), "AP50": slice(1, 2), "AP75": slice(6, 7), "AP40": slice(0, 1)}
SIZES = {"": "", "s": "small ", "m": "medium ", "l": "large "}
# False positives per image at which LUNA16 and its followers read the sensitivity.
FROC_RATES = np.array([0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0])
FROC_METRICS = ["FROC", *(f"Sensitivity@{rate:g}" for rate in FROC_RATES)]


def region_sets(table: BoxTable) -> tuple[RegionSet, RegionSet]:
    """Truth and predictions."""
    truth, predictions = (
        RegionSet(rows[:, 0].astype(np.int64), rows[:, 5].astype(np.int64), rows[:, 6], rows[:, 1:5])
        for rows in (table.truth, table.predictions)
    )
    return truth, predictions


def score_boxes(table: BoxTable, options: Options | None = None) -> UnitScore:
    """Scores boxes, see :func:`score_regions`."""
    return score_regions(*region_sets(table), table.images, table.classes, options)


def score_regions(
    truth: RegionSet,
    predictions: RegionSet,
    images: Sequence[ImageRow],
    classes: tuple[str, ...],
    options: Options | None = None,
) -> UnitScore:
    """``AP`` (IoU 0.50:0.95), ``AP50``, ``AP75``, ``AP40`` per class and their means, as COCO defines them.

    101-point interpolation, at most 100 detections per class and image, all areas. Crowds are ignored, as in COCO. A
    class without (non-crowd) truth is None; with truth and no prediction it is 0.

    Args:
        options: adds ``APs``, ``APm``, ``APl`` (COCO's sizes), intervals and, for boxes, the FROC analysis.
    """
    froc = truth.kind == "bbox"
    region = "box" if froc else "region"
    areas = [""] if options is None else list(AREAS)
    values = precision(truth, predictions, len(images), len(classes), areas)
    metrics = [(metric, rows, "") for metric, rows in METRICS.items()]
    metrics += [(f"AP{size}", METRICS["AP"], size) for size in areas[1:]]
    per_class = {}
    for metric, rows, size in metrics:
        low, high = AREAS[size]
        counted = (truth.values == 0) & (truth.areas >= low) & (truth.areas <= high)  # an edge belongs to both sizes
        counts = np.bincount(truth.categories[counted], minlength=len(classes)).tolist()
        columns = np.moveaxis(values[rows, :, :, areas.index(size)], 2, 0)
        means = [column.mean() if (column > -1).all() else None for column in columns]
        reason = f"no {SIZES[size]}true {region}"
        per_class[metric] = [Estimate.of(mean, reason, count) for mean, count in zip(means, counts, strict=True)]
    score = UnitScore(classes)
    score.add(per_class)
    if options is not None:
        thresholds = np.append(IOU_THRESHOLDS, options.froc_iou)
        ranked = rank_detections(truth, predictions, len(images), len(classes), thresholds)
        statistic = DetectionStatistic(ranked, classes, froc)
        patients = patients_of(images)
        score.details.update(images=len(images), patients=int(patients.max()) + 1)
        score.details["regions"] = {
            name: {"truths": int(r.truths.sum()), "images_with": int((r.truths > 0).sum()), "detections": len(r.images)}
            for name, r in zip(classes, ranked, strict=True)
        }
        if froc:
            _add_froc(score, statistic, len(images))
        add_bootstrap_intervals(score, statistic, patients, options)
    return score


class DetectionStatistic:
    """(b, N) weights -> (b, S) metrics of all classes in the order of :attr:`names`; NaN is undefined."""

    def __init__(self, ranked: list[RankedDetections], classes: tuple[str, ...], froc: bool = True) -> None:
        self.ranked, self.froc = ranked, froc
        metrics = [*METRICS, *(FROC_METRICS if froc else [])]
        self.names = [f"{metric}/{name}" for name in classes for metric in metrics]

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        return np.concatenate([self._class_metrics(ranked, weights) for ranked in self.ranked], axis=1)

    def _class_metrics(self, ranked: RankedDetections, weights: np.ndarray) -> np.ndarray:
        precisions = ranked.average_precision(weights)[:, : len(IOU_THRESHOLDS)]
        columns = [precisions[:, rows].mean(axis=1) for rows in METRICS.values()]
        if self.froc:
            sensitivities = ranked.sensitivities(weights, len(IOU_THRESHOLDS), FROC_RATES)
            columns += [sensitivities.mean(axis=1), *sensitivities.T]
        return np.stack(columns, axis=1)


def _add_froc(score: UnitScore, statistic: DetectionStatistic, images: int) -> None:
    values = dict(zip(statistic.names, statistic(np.ones((1, images), np.int16))[0].tolist(), strict=True))
    classes = list(zip(score.classes, statistic.ranked, strict=True))
    per_class = {
        metric: [Estimate.of(values[f"{metric}/{name}"], "no true box", int(r.truths.sum())) for name, r in classes]
        for metric in FROC_METRICS
    }
    score.add(per_class)
    score.details["froc"] = {name: r.froc_curve(len(IOU_THRESHOLDS)) for name, r in classes if r.truths.any()}

"""Boxes and regions of masks: COCO's average precision, with the IoU threshold 0.40 of the chest radiograph
literature, and free-response ROC."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .bootstrap import add_intervals, bootstrap, mean_over_classes
from .coco import AREAS, IOU_THRESHOLDS, RegionSet, precision
from .estimates import Estimate, UnitScore, undefined, with_classes
from .matching import RankedDetections, rank_detections
from .tables import BoxTable, ImageRow, Options, patients_of

# Metric -> rows of IOU_THRESHOLDS that it averages.
METRICS = {"AP": slice(1, None), "AP50": slice(1, 2), "AP75": slice(6, 7), "AP40": slice(0, 1)}
SIZES = {"s": "small", "m": "medium", "l": "large"}
# False positives per image at which LUNA16 and its followers read the sensitivity.
FROC_RATES = np.array([0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0])


def region_sets(table: BoxTable) -> tuple[RegionSet, RegionSet]:
    """Truth and predictions; the area of a box is that of its rectangle."""
    truth, predictions = (
        RegionSet(
            images=rows[:, 0].astype(np.int64),
            categories=rows[:, 5].astype(np.int64),
            values=rows[:, 6],
            shapes=rows[:, 1:5],
            areas=rows[:, 3] * rows[:, 4],
        )
        for rows in (table.truth, table.predictions)
    )
    return truth, predictions


def score_boxes(table: BoxTable, options: Options | None = None) -> UnitScore:
    """Scores boxes, see :func:`score_regions`."""
    return score_regions(*region_sets(table), table.images, table.classes, options, "box")


def score_regions(
    truth: RegionSet,
    predictions: RegionSet,
    images: Sequence[ImageRow],
    classes: tuple[str, ...],
    options: Options | None = None,
    thing: str = "region",
    froc: bool = True,
) -> UnitScore:
    """``AP`` (IoU 0.50:0.95), ``AP50``, ``AP75``, ``AP40`` per class and their means, as COCO defines them.

    101-point interpolation, at most 100 detections per class and image, all areas. Crowds are ignored, as in COCO. A
    class without (non-crowd) truth is None; with truth and no prediction it is 0.

    Args:
        options: adds ``APs``, ``APm``, ``APl`` (COCO's sizes), the FROC analysis and intervals.
        thing: what the reasons of undefined values call a region.
        froc: False leaves the FROC analysis out.
    """
    areas = [""] if options is None else list(AREAS)
    values = precision(truth, predictions, len(images), len(classes), areas)
    counts = _truths(truth, len(classes), "")
    per_class = {
        name: _class_means(values[rows, :, :, 0], counts, f"no true {thing}") for name, rows in METRICS.items()
    }
    for number, letter in enumerate(areas[1:], start=1):
        counts = _truths(truth, len(classes), letter)
        reason = f"no {SIZES[letter]} true {thing}"
        per_class[f"AP{letter}"] = _class_means(values[1:, :, :, number], counts, reason)
    score = UnitScore(with_classes(classes, per_class))
    if options is not None:
        thresholds = np.append(IOU_THRESHOLDS, options.froc_iou)
        ranked = rank_detections(truth, predictions, len(images), len(classes), thresholds)
        statistic = DetectionStatistic(ranked, classes, froc)
        if froc:
            _add_froc(score, statistic, len(images), thing)
        _add_intervals(score, statistic, patients_of(images), options)
        score.extra.update(_details(ranked, classes, images, froc))
    return score


def _truths(truth: RegionSet, classes: int, size: str) -> list[int]:
    """True regions (no crowds) of every class and of one of COCO's sizes, whose edges belong to both."""
    low, high = AREAS[size]
    counted = (truth.values == 0) & (truth.areas >= low) & (truth.areas <= high)
    return np.bincount(truth.categories[counted], minlength=classes).tolist()


def _class_means(values: np.ndarray, counts: list[int], reason: str) -> list[Estimate]:
    """(T, R, K) precision -> the mean of every class."""
    defined = np.all(values > -1, axis=(0, 1)).tolist()
    return [
        Estimate(float(values[:, :, k].mean()), count=counts[k]) if known else undefined(reason, counts[k])
        for k, known in enumerate(defined)
    ]


class DetectionStatistic:
    """The metrics of all classes for (b, N) weights: (b, S) values in the order of :attr:`names`; NaN is undefined."""

    def __init__(self, ranked: list[RankedDetections], classes: tuple[str, ...], froc: bool = True) -> None:
        self.ranked, self.classes, self.froc = ranked, classes, froc
        self.metrics = [*METRICS, *(["FROC", *(f"Sensitivity@{rate:g}" for rate in FROC_RATES)] if froc else [])]
        self.names = [f"{metric}/{name}" for name in classes for metric in self.metrics]

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        return np.concatenate([self._class_metrics(ranked, weights) for ranked in self.ranked], axis=1)

    def _class_metrics(self, ranked: RankedDetections, weights: np.ndarray) -> np.ndarray:
        precisions = ranked.average_precision(weights)
        columns = [precisions[:, : len(IOU_THRESHOLDS)][:, rows].mean(axis=1) for rows in METRICS.values()]
        if self.froc:
            sensitivities = ranked.sensitivities(weights, len(IOU_THRESHOLDS), FROC_RATES)
            columns += [sensitivities.mean(axis=1), *sensitivities.T]
        return np.stack(columns, axis=1)


def _add_froc(score: UnitScore, statistic: DetectionStatistic, images: int, thing: str) -> None:
    observed = dict(zip(statistic.names, statistic(np.ones((1, images), np.int16))[0].tolist(), strict=True))
    classes, ranked = statistic.classes, statistic.ranked
    per_class: dict[str, list[Estimate]] = {}
    for metric in statistic.metrics[len(METRICS) :]:
        pairs = [(observed[f"{metric}/{n}"], int(r.truths.sum())) for n, r in zip(classes, ranked, strict=True)]
        per_class[metric] = [
            undefined(f"no true {thing}", 0) if np.isnan(v) else Estimate(v, count=c) for v, c in pairs
        ]
    score.estimates.update(with_classes(statistic.classes, per_class))


def _add_intervals(score: UnitScore, statistic: DetectionStatistic, patients: np.ndarray, options: Options) -> None:
    values = bootstrap(statistic, patients, options).reshape(-1, len(statistic.classes), len(statistic.metrics))
    for column, metric in enumerate(statistic.metrics):
        keys = [f"{metric}/{name}" for name in statistic.classes]
        defined = np.array([score.estimates[key].value is not None for key in keys])
        drawn = {metric: mean_over_classes(values[:, :, column], defined)}
        drawn.update({key: values[:, k, column] for k, key in enumerate(keys)})
        add_intervals(score, drawn, options.confidence)


def _details(ranked: list[RankedDetections], classes: tuple[str, ...], images: Sequence[ImageRow], froc: bool) -> dict:
    counts = {
        name: {"truths": int(r.truths.sum()), "images_with": int((r.truths > 0).sum()), "detections": len(r.columns)}
        for name, r in zip(classes, ranked, strict=True)
    }
    extra = {"images": len(images), "patients": int(patients_of(images).max()) + 1, "regions": counts}
    if froc:
        curves = zip(classes, ranked, strict=True)
        extra["froc"] = {name: r.froc_curve(len(IOU_THRESHOLDS)) for name, r in curves if r.truths.any()}
    return extra

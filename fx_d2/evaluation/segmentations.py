"""Masks: overlap and surface distance per image, precision of their connected regions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from pycocotools import mask as coco_mask

from .bootstrap import add_intervals, bootstrap, mean_over_classes, ratio
from .coco import RegionSet
from .detections import score_regions
from .estimates import Estimate, UnitScore, undefined, with_classes
from .regions import union_of
from .surface import mask_distances
from .tables import ImageRow, MaskRow, MaskTable, Options, patients_of

# What stands in the counts of a channel that is unknown on the image.
UNKNOWN_COUNTS = -1
OVERLAPS = ("Dice", "IoU", "Dice_all", "IoU_all")
DISTANCES = ("HD95", "ASSD", "HD95_mm", "ASSD_mm")
_ABSENT, _UNKNOWN = "no image has the class", "the class is unknown on every image"
_REASONS = {"Dice": _ABSENT, "IoU": _ABSENT, "Dice_all": _UNKNOWN, "IoU_all": _UNKNOWN}


@dataclass
class MaskMeasure:
    """One image, small enough to be kept for a whole test set.

    Attributes:
        counts: (K, 3) int64: pixels in the intersection, the prediction and the truth; -1 for an unknown channel.
        distances: (K, 4) of :data:`DISTANCES`, NaN where undefined; None: not measured.
        truth, predictions: the connected regions of both. Final evaluation only, as is ``image``.
    """

    counts: np.ndarray
    distances: np.ndarray | None = None
    truth: list[MaskRow] = field(default_factory=list)
    predictions: list[MaskRow] = field(default_factory=list)
    image: ImageRow | None = None


def measure_table(table: MaskTable, options: Options) -> list[MaskMeasure]:
    """The measures of all images from their stored regions; one image's masks are in memory at a time."""
    rows = zip(table.images, table.truth, table.predictions, strict=True)
    return [_measure_regions(*row, len(table.classes), options.distances) for row in rows]


def _measure_regions(
    image: ImageRow, truth: Sequence[MaskRow], predictions: Sequence[MaskRow], classes: int, with_distances: bool
) -> MaskMeasure:
    counts, distances = np.zeros((classes, 3), np.int64), np.full((classes, len(DISTANCES)), np.nan)
    for k in range(classes):
        if k in image.unknown_classes:
            counts[k] = UNKNOWN_COUNTS
            continue
        predicted, true = (union_of(rows, k, image.height, image.width) for rows in (predictions, truth))
        counts[k] = (predicted & true).sum(), predicted.sum(), true.sum()
        if with_distances:
            distances[k] = mask_distances(predicted, true, image.spacing)
    return MaskMeasure(counts, distances, list(truth), list(predictions), image)


def image_values(measures: Sequence[MaskMeasure]) -> dict[str, np.ndarray]:
    """(N, K) values by metric; NaN where the image does not count.

    ``Dice``, ``IoU``: images *with* the class (positives). ``Dice_all``, ``IoU_all``: all images where the class is
    known, with empty truth and empty prediction scoring 1 (the published convention). Distances: images that have the
    class in the truth and in the prediction.
    """
    counts = np.stack([measure.counts for measure in measures]).astype(np.float64)
    intersection, predicted, truth = np.moveaxis(counts, 2, 0)
    known, total = truth >= 0, predicted + truth
    values = {}
    for name, part, whole in (("Dice", 2 * intersection, total), ("IoU", intersection, total - intersection)):
        everywhere = np.where(known, np.divide(part, whole, out=np.ones_like(part), where=whole > 0), np.nan)
        values[name] = np.where(truth > 0, everywhere, np.nan)
        values[f"{name}_all"] = everywhere
    distances = [measure.distances for measure in measures if measure.distances is not None]
    if distances:
        values.update(zip(DISTANCES, np.moveaxis(np.stack(distances), 2, 0), strict=True))
    return values


def score_masks(
    images: Sequence[ImageRow],
    classes: tuple[str, ...],
    measures: Sequence[MaskMeasure],
    options: Options | None = None,
) -> UnitScore:
    """Means over images per class (see :func:`image_values`) and over the classes where they are defined.

    Unknown channels and pixels are left out.

    Args:
        options: adds surface distances, the precision of connected regions (``AP`` and the like) and intervals.
    """
    values = image_values(measures)
    per_class = {
        name: [_mean(column, _reason(name, images, options)) for column in table.T] for name, table in values.items()
    }
    score = UnitScore(with_classes(classes, per_class))
    if options is not None:
        _add_intervals(score, values, classes, patients_of(images), options)
        truth = region_set(measure.truth for measure in measures)
        predictions = region_set(measure.predictions for measure in measures)
        regions = score_regions(truth, predictions, images, classes, options, "region", froc=False)
        score.estimates.update(regions.estimates)
        score.extra.update(regions.extra)
        score.replicates.update(regions.replicates)
        score.extra["masks"] = {name: _class_details(k, measures, values) for k, name in enumerate(classes)}
    return score


def _mean(column: np.ndarray, reason: str) -> Estimate:
    defined = column[~np.isnan(column)]
    return Estimate(float(defined.mean()), count=len(defined)) if len(defined) else undefined(reason, 0)


def _reason(name: str, images: Sequence[ImageRow], options: Options | None) -> str:
    if name in DISTANCES and options is not None and not options.distances:
        return "surface distances were not asked for (FX.EVAL.DISTANCES)"
    if name.endswith("_mm") and all(image.spacing is None for image in images):
        return "no image has a known pixel spacing"
    return _REASONS.get(name, "no image has the class in both truth and prediction")


class MeanStatistic:
    """Weighted means of (N, K) image values of several metrics, metric by metric; NaN where no image counts."""

    def __init__(self, values: dict[str, np.ndarray]) -> None:
        table = np.concatenate(list(values.values()), axis=1)
        self.valid = (~np.isnan(table)).astype(np.float64)
        self.values = np.nan_to_num(table)

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        weights = weights.astype(np.float64)
        return ratio(weights @ self.values, weights @ self.valid)


def _add_intervals(
    score: UnitScore, values: dict[str, np.ndarray], classes: tuple[str, ...], patients: np.ndarray, options: Options
) -> None:
    drawn = bootstrap(MeanStatistic(values), patients, options).reshape(-1, len(values), len(classes))
    for number, (name, table) in enumerate(values.items()):
        defined = (~np.isnan(table)).any(axis=0)
        columns = {f"{name}/{label}": drawn[:, number, k] for k, label in enumerate(classes)}
        add_intervals(score, {name: mean_over_classes(drawn[:, number], defined), **columns}, options.confidence)


def region_set(rows_of_images: Iterable[Sequence[MaskRow]]) -> RegionSet:
    """Regions of many images for COCO's precision; none is a crowd, a truth's value is 0."""
    numbered = [(number, row) for number, rows in enumerate(rows_of_images) for row in rows]
    shapes = [row.runs for _, row in numbered]
    return RegionSet(
        images=np.array([number for number, _ in numbered], dtype=np.int64),
        categories=np.array([row.category for _, row in numbered], dtype=np.int64),
        values=np.array([row.score for _, row in numbered], dtype=np.float64),
        shapes=shapes,
        # One by one: pycocotools 2.0.11 refuses more than 255 at once.
        areas=np.array([coco_mask.area(runs) for runs in shapes], dtype=np.float64),
    )


def _class_details(k: int, measures: Sequence[MaskMeasure], values: dict[str, np.ndarray]) -> dict:
    counts = np.stack([measure.counts[k] for measure in measures])
    known, positive = counts[:, 2] >= 0, counts[:, 2] > 0
    dice = values["Dice"][:, k]
    return {
        "positive": int(positive.sum()),
        "negative": int((known & ~positive).sum()),
        "unknown": int((~known).sum()),
        # Present but nothing was drawn: such images have no surface distance.
        "missed": int((positive & (counts[:, 1] == 0)).sum()),
        "invented": int((known & ~positive & (counts[:, 1] > 0)).sum()),
        "dice": np.sort(dice[~np.isnan(dice)]).round(4).tolist(),
    }

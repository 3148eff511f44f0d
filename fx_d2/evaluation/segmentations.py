"""Masks: overlap and surface distance per image, precision of their connected regions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from .bootstrap import add_bootstrap_intervals, ratio
from .coco import RegionSet
from .detections import score_regions
from .estimates import Estimate, UnitScore
from .regions import union_of
from .surface import mask_distances
from .tables import ImageRow, MaskRow, MaskTable, Options, patients_of

# In the counts of a channel that is unknown on the image.
UNKNOWN_COUNTS = -1
DISTANCES = ("HD95", "ASSD", "HD95_mm", "ASSD_mm")
_ABSENT, _UNKNOWN = "no image has the class", "the class is unknown on every image"
_REASONS = {"Dice": _ABSENT, "IoU": _ABSENT, "Dice_all": _UNKNOWN, "IoU_all": _UNKNOWN}


@dataclass
class MaskMeasure:
    """One image, small enough to be kept for a whole test set.

    Attributes:
        counts: (K, 3) int64: pixels in the intersection, the prediction and the truth; -1 for an unknown channel.
        distances: (K, 4) of :data:`DISTANCES`, NaN where undefined; None: not measured.
        truth, predictions: the connected regions of both. Final evaluation only.
    """

    image: ImageRow
    counts: np.ndarray
    distances: np.ndarray | None = None
    truth: list[MaskRow] = field(default_factory=list)
    predictions: list[MaskRow] = field(default_factory=list)


def measure_table(table: MaskTable, options: Options) -> list[MaskMeasure]:
    """The measures of all images from their stored regions; one image's masks are in memory at a time."""
    measures = []
    for image, *regions in zip(table.images, table.truth, table.predictions, strict=True):
        counts = np.zeros((len(table.classes), 3), np.int64)
        distances = np.full((len(counts), len(DISTANCES)), np.nan)
        counts[list(image.unknown_classes)] = UNKNOWN_COUNTS
        for category in set(range(len(counts))) - set(image.unknown_classes):
            truth, predicted = (union_of(rows, category, image.height, image.width) for rows in regions)
            counts[category] = (predicted & truth).sum(), predicted.sum(), truth.sum()
            if options.distances:
                distances[category] = mask_distances(predicted, truth, image.spacing)
        measures.append(MaskMeasure(image, counts, distances, *map(list, regions)))
    return measures


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
        all_images = np.where(known, np.divide(part, whole, out=np.ones_like(part), where=whole > 0), np.nan)
        values[name] = np.where(truth > 0, all_images, np.nan)
        values[f"{name}_all"] = all_images
    distances = [measure.distances for measure in measures if measure.distances is not None]
    if distances:
        values.update(zip(DISTANCES, np.moveaxis(np.stack(distances), 2, 0), strict=True))
    return values


def score_masks(measures: Sequence[MaskMeasure], classes: tuple[str, ...], options: Options | None = None) -> UnitScore:
    """Means over images per class (see :func:`image_values`) and over the classes where they are defined.

    Args:
        options: adds surface distances, the precision of connected regions (``AP`` and the like) and intervals.
    """
    images = [measure.image for measure in measures]
    values = image_values(measures)
    per_class = {}
    for metric, table in values.items():
        reason = _reason(metric, images, options)
        columns = [column[~np.isnan(column)] for column in table.T]
        per_class[metric] = [Estimate.of(c.mean() if len(c) else None, reason, len(c)) for c in columns]
    score = UnitScore(classes)
    score.add(per_class)
    if options is not None:
        add_bootstrap_intervals(score, MeanStatistic(values, classes), patients_of(images), options)
        truth = region_set(measure.truth for measure in measures)
        predictions = region_set(measure.predictions for measure in measures)
        regions = score_regions(truth, predictions, images, classes, options)
        score.estimates.update(regions.estimates)
        score.replicates.update(regions.replicates)
        counts = np.stack([measure.counts for measure in measures], axis=1)
        masks = {name: _class_details(counts[k], values["Dice"][:, k]) for k, name in enumerate(classes)}
        score.details.update(regions.details, masks=masks)
    return score


def _reason(metric: str, images: Sequence[ImageRow], options: Options | None) -> str:
    if metric in DISTANCES and options is not None and not options.distances:
        return "surface distances were not asked for (FX.EVAL.DISTANCES)"
    if metric.endswith("_mm") and all(image.spacing is None for image in images):
        return "no image has a known pixel spacing"
    return _REASONS.get(metric, "no image has the class in both truth and prediction")


class MeanStatistic:
    """Weighted means of (N, K) image values of several metrics; NaN where no image counts."""

    def __init__(self, values: dict[str, np.ndarray], classes: tuple[str, ...]) -> None:
        self.names = [f"{metric}/{name}" for metric in values for name in classes]
        table = np.concatenate(list(values.values()), axis=1)
        self.valid = (~np.isnan(table)).astype(np.float64)
        self.values = np.nan_to_num(table)

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        weights = weights.astype(np.float64)
        return ratio(weights @ self.values, weights @ self.valid)


def region_set(rows_of_images: Iterable[Sequence[MaskRow]]) -> RegionSet:
    """Regions of many images for COCO's precision; none is a crowd, a truth's value is 0."""
    numbered = [(number, row) for number, rows in enumerate(rows_of_images) for row in rows]
    return RegionSet(
        images=np.array([number for number, _ in numbered], dtype=np.int64),
        categories=np.array([row.category for _, row in numbered], dtype=np.int64),
        values=np.array([row.score for _, row in numbered], dtype=np.float64),
        shapes=[row.runs for _, row in numbered],
    )


def _class_details(counts: np.ndarray, dice: np.ndarray) -> dict[str, int | list[float]]:
    known, positive, predicted = counts[:, 2] >= 0, counts[:, 2] > 0, counts[:, 1] > 0
    return {
        "positive": int(positive.sum()),
        "negative": int((known & ~positive).sum()),
        "unknown": int((~known).sum()),
        # Present but nothing was predicted: such images have no surface distance.
        "missed": int((positive & ~predicted).sum()),
        "invented": int((known & ~positive & predicted).sum()),
        "dice": np.sort(dice[~np.isnan(dice)]).round(4).tolist(),
    }

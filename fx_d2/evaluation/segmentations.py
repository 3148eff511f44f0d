"""Masks: Dice and intersection over union per image, over positives and over all images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from .estimates import Estimate, UnitScore, undefined, with_classes
from .tables import ImageRow, MaskRow, Options

# What stands in the counts of a channel that is unknown on the image.
UNKNOWN_COUNTS = -1


@dataclass
class MaskMeasure:
    """One image, small enough to be kept for a whole test set.

    Attributes:
        counts: (K, 3) int64: pixels in the intersection, the prediction and the truth; -1 for an unknown channel.
        truth: the true mask of each class that is there. found: the predicted regions. Final evaluation only.
    """

    counts: np.ndarray
    truth: list[MaskRow] = field(default_factory=list)
    found: list[MaskRow] = field(default_factory=list)


def score_masks(
    images: Sequence[ImageRow],
    classes: tuple[str, ...],
    measures: Sequence[MaskMeasure],
    options: Options | None = None,
) -> UnitScore:
    """``Dice``, ``IoU``: mean over the images *with* the class (positives). ``Dice_all``, ``IoU_all``: mean over all
    images where the class is known, with empty truth and empty prediction scoring 1 (the published convention).
    The overall value is the mean over classes. Unknown channels and pixels are left out.
    """
    columns = [class_scores(counts) for counts in np.stack([measure.counts for measure in measures], axis=1)]
    return UnitScore(with_classes(classes, {name: [column[name] for column in columns] for name in columns[0]}))


def class_scores(counts: np.ndarray) -> dict[str, Estimate]:
    """Scores of one class from its (N, 3) counts: intersection, prediction, truth; negative where unknown."""
    intersection, predicted, truth = counts[counts[:, 2] >= 0].astype(np.float64).T
    positive = truth > 0
    total = predicted + truth
    dice = _ratio(2 * intersection, total)
    iou = _ratio(intersection, total - intersection)
    absent = "no image has the class"
    return {
        "Dice": _mean(dice[positive], absent),
        "IoU": _mean(iou[positive], absent),
        "Dice_all": _mean(dice, "the class is unknown on every image"),
        "IoU_all": _mean(iou, "the class is unknown on every image"),
    }


def _mean(values: np.ndarray, reason: str) -> Estimate:
    return Estimate(float(values.mean()), count=len(values)) if len(values) else undefined(reason, 0)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, and 1 where both are empty."""
    return np.divide(part, whole, out=np.ones_like(part), where=whole > 0)

"""Masks: Dice and intersection over union per image, over positives and over all images."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from ..data.masks import UNKNOWN, decode_masks
from .base import Metrics, UnitEvaluator, mean_or_none, with_classes

# Probability from which a pixel is inside.
THRESHOLD = 0.5
# What measure() gives for a channel that is unknown on the image.
_UNKNOWN_COUNTS = -1


class MaskEvaluator(UnitEvaluator):
    """Dice and IoU at the original size, probabilities cut at 0.5.

    ``Dice``, ``IoU``: mean over the images *with* the class (positives). ``Dice_all``, ``IoU_all``: mean over all
    images where the class is known, with empty truth and empty prediction scoring 1 (the published convention).
    The overall value is the mean over classes. Unknown channels and pixels are left out.
    """

    task = "mask"

    def measure(self, record: dict, output: Mapping) -> np.ndarray:
        """-> (K, 3) int64: pixels in the intersection, the prediction and the truth; -1 for an unknown channel."""
        probabilities = output["masks"].detach()
        expected = (len(self.classes), record["height"], record["width"])
        if tuple(probabilities.shape) != expected:
            raise self.fault(record, f"masks of shape {tuple(probabilities.shape)}, expected {expected}")
        if not torch.isfinite(probabilities).all():
            raise self.fault(record, "a mask probability is not finite; the network has diverged")
        target = torch.from_numpy(decode_masks(record, len(self.classes))).to(probabilities.device)
        known, truth = target != UNKNOWN, target == 1
        predicted = (probabilities >= THRESHOLD) & known
        counts = torch.stack([(predicted & truth).sum((1, 2)), predicted.sum((1, 2)), truth.sum((1, 2))], dim=1)
        counts[~known.any(2).any(1)] = _UNKNOWN_COUNTS
        return counts.cpu().numpy()

    def summarise(self, measured: list[np.ndarray]) -> Metrics:
        columns = [class_scores(counts) for counts in np.stack(measured, axis=1)]
        return with_classes(self.classes, {name: [column[name] for column in columns] for name in columns[0]})


def class_scores(counts: np.ndarray) -> dict[str, float | None]:
    """Scores of one class from its (N, 3) counts: intersection, prediction, truth; negative where unknown."""
    intersection, predicted, truth = counts[counts[:, 2] >= 0].astype(np.float64).T
    positive = truth > 0
    total = predicted + truth
    dice = _ratio(2 * intersection, total)
    iou = _ratio(intersection, total - intersection)
    return {
        "Dice": mean_or_none(dice[positive]),
        "IoU": mean_or_none(iou[positive]),
        "Dice_all": mean_or_none(dice),
        "IoU_all": mean_or_none(iou),
    }


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, and 1 where both are empty."""
    return np.divide(part, whole, out=np.ones_like(part), where=whole > 0)

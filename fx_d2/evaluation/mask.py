"""Masks: what is kept of a network's probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from ..data.images import pixel_spacing
from ..data.masks import decode_drawn
from .base import UnitEvaluator
from .estimates import UnitScore
from .regions import split_regions
from .segmentations import DISTANCES, UNKNOWN_COUNTS, MaskMeasure, score_masks
from .surface import mask_distances
from .tables import ImageRow, MaskTable

# Probability from which a pixel is inside.
THRESHOLD = 0.5


@dataclass(frozen=True)
class Truth:
    """Of one image: bool (H, W) of each class that is drawn; the image with its spacing and its unknown classes."""

    drawn: dict[int, np.ndarray]
    image: ImageRow


class MaskEvaluator(UnitEvaluator):
    """Scores masks at the original size, probabilities cut at 0.5; see :func:`score_masks`."""

    task = "mask"

    def truth_of(self, record: dict) -> Truth:
        row = ImageRow.from_record(record)
        if self.options is not None and row.spacing is None and Path(record["file_name"]).is_file():
            row = replace(row, spacing=pixel_spacing(record["file_name"]))  # DICOM and MetaImage may say
        return Truth(decode_drawn(record), row)

    def measure(self, record: dict, output: Mapping, truth: Truth) -> MaskMeasure:
        probabilities = output["masks"].detach()
        expected = (len(self.classes), record["height"], record["width"])
        if tuple(probabilities.shape) != expected:
            raise self.prediction_error(record, f"masks of shape {tuple(probabilities.shape)}, expected {expected}")
        # A value that is not finite goes through both; looking for one took 24 times as long.
        if not torch.stack(torch.aminmax(probabilities)).isfinite().all():
            raise self.prediction_error(record, "a mask probability is not finite; the network has diverged")
        predicted = probabilities >= THRESHOLD
        counts = predicted.new_zeros((len(self.classes), 3), dtype=torch.int64)
        for category, channel in enumerate(predicted):  # counting one by one takes a sixteenth of a sum over all
            counts[category, 1] = channel.count_nonzero()
            if category in truth.drawn:
                inside = torch.from_numpy(truth.drawn[category]).to(channel.device)
                counts[category, 0], counts[category, 2] = (channel & inside).count_nonzero(), inside.count_nonzero()
        counts[list(truth.image.unknown_classes)] = UNKNOWN_COUNTS
        measure = MaskMeasure(counts.cpu().numpy())
        if self.options is not None:
            self._add_regions(measure, truth, predicted, probabilities, self.options.distances)
        return measure

    def _add_regions(
        self,
        measure: MaskMeasure,
        truth: Truth,
        predicted: torch.Tensor,
        probabilities: torch.Tensor,
        with_distances: bool,
    ) -> None:
        """Regions and distances; one channel at a time, for a large image has many."""
        measure.image = truth.image
        measure.distances = np.full((len(self.classes), len(DISTANCES)), np.nan)
        for category, (_, predicted_pixels, true_pixels) in enumerate(measure.counts):
            drawn = truth.drawn[category] if true_pixels > 0 else None
            if drawn is not None:
                measure.truth.extend(split_regions(drawn, category))
            if predicted_pixels > 0:
                inside, probability = predicted[category].cpu().numpy(), probabilities[category].float().cpu().numpy()
                measure.predictions.extend(split_regions(inside, category, probability))
                if drawn is not None and with_distances:
                    measure.distances[category] = mask_distances(inside, drawn, truth.image.spacing)

    def summarise(self, measured: list[MaskMeasure]) -> UnitScore:
        if self.options is None:
            return score_masks(self.images(), self.classes, measured)
        images, truth, predictions = ([getattr(m, key) for m in measured] for key in ("image", "truth", "predictions"))
        self.table = MaskTable(images, self.classes, truth, predictions)
        return score_masks(images, self.classes, measured, self.options)

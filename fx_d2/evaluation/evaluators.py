"""The evaluators of findings, boxes and masks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.structures import BoxMode

from ..data.images import read_header
from ..data.masks import decode_drawn
from .base import UnitEvaluator
from .detections import score_boxes
from .estimates import UnitScore
from .findings import score_findings
from .operating import Thresholds
from .regions import split_regions
from .segmentations import DISTANCES, UNKNOWN_COUNTS, MaskMeasure, score_masks
from .surface import mask_distances
from .tables import BoxTable, FindingTable, ImageRow, MaskTable, as_rows

# Probability from which a pixel is inside.
MASK_THRESHOLD = 0.5


class ClassificationEvaluator(UnitEvaluator):
    """Scores findings, see :func:`score_findings`.

    Attributes:
        thresholds: operating point of each class, chosen on validation; None: 0.5.
    """

    task = "cls"
    thresholds: Thresholds | None = None

    def measure(self, record: dict, output: Mapping, truth: Any) -> np.ndarray:
        """-> (K,) float64 scores."""
        scores = output["scores"].detach().cpu().double().numpy()
        if scores.shape != (len(self.classes),):
            raise self.prediction_error(record, f"scores of shape {scores.shape} for {len(self.classes)} classes")
        if not np.isfinite(scores).all():
            raise self.prediction_error(record, "a score is not finite; the network has diverged")
        return scores

    def summarise(self, measured: list[np.ndarray]) -> UnitScore:
        labels = np.array([record["labels"] for record in self.records.values()], dtype=np.float64)
        self.table = FindingTable(self.images(), self.classes, labels, np.stack(measured), self.exclusive)
        return score_findings(self.table, self.options, self.thresholds, self.unit)


class BoxEvaluator(UnitEvaluator):
    """Scores boxes, see :func:`score_boxes`."""

    task = "box"

    def measure(self, record: dict, output: Mapping, truth: Any) -> np.ndarray:
        """-> (N, 6) float64: x, y, width, height in original pixels, class, score."""
        instances = output["instances"]
        boxes = instances.pred_boxes.tensor.detach().cpu().double().numpy().reshape(-1, 4)
        scores = instances.scores.detach().cpu().double().numpy()
        classes = instances.pred_classes.detach().cpu().numpy()
        rows = np.column_stack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2], classes, scores])
        if not np.isfinite(rows).all():
            raise self.prediction_error(record, "a predicted box or score is not finite; the network has diverged")
        if len(classes) and not 0 <= classes.min() <= classes.max() < len(self.classes):
            raise self.prediction_error(record, f"a predicted class lies outside 0..{len(self.classes) - 1}")
        return rows

    def summarise(self, measured: list[np.ndarray]) -> UnitScore:
        truth = []
        for number, record in enumerate(self.records.values()):
            for annotation in record["annotations"]:
                box = BoxMode.convert(list(annotation["bbox"]), annotation["bbox_mode"], BoxMode.XYWH_ABS)
                truth.append([number, *box, annotation["category_id"], annotation.get("iscrowd", 0)])
        numbers = np.repeat(np.arange(len(measured)), [len(rows) for rows in measured])
        predictions = np.column_stack([numbers, np.concatenate(measured)])
        self.table = BoxTable(self.images(), self.classes, as_rows(truth, 7), predictions)
        return score_boxes(self.table, self.options)


# The annotated classes of one image, each bool (H, W), and the image with its spacing.
MaskTruth = tuple[dict[int, np.ndarray], ImageRow]


class MaskEvaluator(UnitEvaluator):
    """Scores masks at the original size, probabilities cut at 0.5; see :func:`score_masks`."""

    task = "mask"

    def truth_of(self, record: dict) -> MaskTruth:
        image = ImageRow.from_record(record)
        if self.options is not None and image.spacing is None and Path(record["file_name"]).is_file():
            image = replace(image, spacing=read_header(record["file_name"]).spacing)  # from a DICOM or MetaImage header
        return decode_drawn(record), image

    def measure(self, record: dict, output: Mapping, truth: MaskTruth) -> MaskMeasure:
        (masks, image), probabilities = truth, output["masks"].detach()
        expected = (len(self.classes), record["height"], record["width"])
        if tuple(probabilities.shape) != expected:
            raise self.prediction_error(record, f"masks of shape {tuple(probabilities.shape)}, expected {expected}")
        # A value that is not finite reaches the minimum or the maximum; isfinite of all values took 24 times as long.
        if not torch.stack(torch.aminmax(probabilities)).isfinite().all():
            raise self.prediction_error(record, "a mask probability is not finite; the network has diverged")
        predicted = probabilities >= MASK_THRESHOLD
        counts = predicted.new_zeros((len(self.classes), 3), dtype=torch.int64)
        for category, channel in enumerate(predicted):  # 16 times as fast as a sum over all channels
            counts[category, 1] = channel.count_nonzero()
            if category in masks:
                inside = torch.from_numpy(masks[category]).to(channel.device)
                counts[category, 0], counts[category, 2] = (channel & inside).count_nonzero(), inside.count_nonzero()
        counts[list(image.unknown_classes)] = UNKNOWN_COUNTS
        measure = MaskMeasure(image, counts.cpu().numpy())
        if self.options is None:
            return measure
        measure.distances = np.full((len(self.classes), len(DISTANCES)), np.nan)
        for category, (_, predicted_pixels, true_pixels) in enumerate(measure.counts):
            # One channel on the CPU at a time, since a large image may have many.
            if true_pixels > 0:
                measure.truth.extend(split_regions(masks[category], category))
            if predicted_pixels > 0:
                inside, probability = predicted[category].cpu().numpy(), probabilities[category].float().cpu().numpy()
                measure.predictions.extend(split_regions(inside, category, probability))
                if true_pixels > 0 and self.options.distances:
                    measure.distances[category] = mask_distances(inside, masks[category], image.spacing)
        return measure

    def summarise(self, measured: list[MaskMeasure]) -> UnitScore:
        if self.options is not None:
            truth, predictions = [m.truth for m in measured], [m.predictions for m in measured]
            self.table = MaskTable([m.image for m in measured], self.classes, truth, predictions)
        return score_masks(measured, self.classes, self.options)

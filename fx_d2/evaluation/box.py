"""Boxes: what is kept of a network's detections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from detectron2.structures import BoxMode

from .base import UnitEvaluator
from .detections import score_boxes
from .estimates import UnitScore
from .tables import BoxTable, as_rows


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
        truth = as_rows(
            (
                [
                    number,
                    *BoxMode.convert(list(annotation["bbox"]), annotation["bbox_mode"], BoxMode.XYWH_ABS),
                    annotation["category_id"],
                    annotation.get("iscrowd", 0),
                ]
                for number, record in enumerate(self.records.values())
                for annotation in record["annotations"]
            ),
            7,
        )
        numbers = np.repeat(np.arange(len(measured)), [len(rows) for rows in measured])
        predictions = np.column_stack([numbers, np.concatenate(measured)])
        self.table = BoxTable(self.images(), self.classes, truth, predictions)
        return score_boxes(self.table, self.options)

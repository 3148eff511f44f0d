"""Boxes: COCO average precision, with the IoU threshold 0.40 of the chest radiograph literature."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Mapping

import numpy as np
from detectron2.structures import BoxMode
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from .base import Metrics, UnitEvaluator, with_classes

# 0.40, then COCO's 0.50:0.05:0.95.
IOU_THRESHOLDS = np.array([0.40, *(0.50 + 0.05 * step for step in range(10))]).round(2)
# Metric -> rows of IOU_THRESHOLDS that it averages.
METRICS = {"AP": slice(1, None), "AP50": slice(1, 2), "AP75": slice(6, 7), "AP40": slice(0, 1)}
MAX_DETECTIONS = 100
ALL_AREAS = [0.0, 1e10]


class BoxEvaluator(UnitEvaluator):
    """``AP`` (IoU 0.50:0.95), ``AP50``, ``AP75``, ``AP40`` per class and their means, as COCO defines them.

    101-point interpolation, at most 100 detections per class and image, all areas. Crowd boxes are ignored, as in
    COCO. A class without a (non-crowd) true box is None; with truth and no prediction it is 0.
    """

    task = "box"

    def measure(self, record: dict, output: Mapping) -> np.ndarray:
        """-> (N, 6) float64: x, y, width, height in original pixels, score, class."""
        instances = output["instances"]
        boxes = instances.pred_boxes.tensor.detach().cpu().double().numpy().reshape(-1, 4)
        scores = instances.scores.detach().cpu().double().numpy()
        classes = instances.pred_classes.detach().cpu().numpy()
        rows = np.column_stack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2], scores, classes])
        if not np.isfinite(rows).all():
            raise self.fault(record, "a predicted box or score is not finite; the network has diverged")
        if len(classes) and not 0 <= classes.min() <= classes.max() < len(self.classes):
            raise self.fault(record, f"a predicted class lies outside 0..{len(self.classes) - 1}")
        return rows

    def summarise(self, measured: list[np.ndarray]) -> Metrics:
        truth = self._coco(
            {
                "image_id": number,
                "category_id": annotation["category_id"],
                "bbox": BoxMode.convert(list(annotation["bbox"]), annotation["bbox_mode"], BoxMode.XYWH_ABS),
                "iscrowd": annotation.get("iscrowd", 0),
            }
            for number, record in enumerate(self.records.values())
            for annotation in record["annotations"]
        )
        predicted = self._coco(
            {"image_id": number, "category_id": int(row[5]), "bbox": row[:4].tolist(), "score": float(row[4])}
            for number, rows in enumerate(measured)
            for row in rows
        )
        return with_classes(self.classes, average_precision(truth, predicted))

    def _coco(self, annotations: Iterable[dict]) -> COCO:
        """An index of boxes over all images and classes; unlike ``COCO.loadRes`` it may be empty."""
        # Matches are stored by annotation number, and 0 means none.
        rows = [
            {**row, "id": number, "area": row["bbox"][2] * row["bbox"][3]}
            for number, row in enumerate(annotations, start=1)
        ]
        coco = COCO()
        coco.dataset = {
            "images": [{"id": number} for number in range(len(self.records))],
            "categories": [{"id": index, "name": name} for index, name in enumerate(self.classes)],
            "annotations": rows,
        }
        with contextlib.redirect_stdout(io.StringIO()):
            coco.createIndex()
        return coco


def average_precision(truth: COCO, predicted: COCO) -> dict[str, list[float | None]]:
    """Every metric of ``METRICS`` for every category in order; None for a category without truth."""
    evaluation = COCOeval(truth, predicted, "bbox")
    evaluation.params.iouThrs = IOU_THRESHOLDS
    evaluation.params.maxDets = [MAX_DETECTIONS]
    evaluation.params.areaRng = [ALL_AREAS]
    evaluation.params.areaRngLbl = ["all"]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
        evaluation.accumulate()
    # Threshold, recall, category, area, detections; -1 everywhere for a category without truth.
    precision = evaluation.eval["precision"][:, :, :, 0, 0]
    defined = (precision > -1).all(axis=(0, 1))
    return {
        name: [float(precision[rows, :, k].mean()) if known else None for k, known in enumerate(defined)]
        for name, rows in METRICS.items()
    }

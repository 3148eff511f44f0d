"""Boxes: COCO average precision, with the IoU threshold 0.40 of the chest radiograph literature."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from .estimates import Estimate, UnitScore, undefined, with_classes
from .tables import BoxTable, Options

# 0.40, then COCO's 0.50:0.05:0.95.
IOU_THRESHOLDS = np.array([0.40, *(0.50 + 0.05 * step for step in range(10))]).round(2)
# Metric -> rows of IOU_THRESHOLDS that it averages.
METRICS = {"AP": slice(1, None), "AP50": slice(1, 2), "AP75": slice(6, 7), "AP40": slice(0, 1)}
MAX_DETECTIONS = 100
ALL_AREAS = [0.0, 1e10]


def score_boxes(table: BoxTable, options: Options | None = None) -> UnitScore:
    """``AP`` (IoU 0.50:0.95), ``AP50``, ``AP75``, ``AP40`` per class and their means, as COCO defines them.

    101-point interpolation, at most 100 detections per class and image, all areas. Crowd boxes are ignored, as in
    COCO. A class without a (non-crowd) true box is None; with truth and no prediction it is 0.
    """
    truth = _coco(table, ({"bbox": row[1:5], "iscrowd": int(row[6])} for row in table.truth.tolist()), table.truth)
    found = _coco(table, ({"bbox": row[1:5], "score": row[6]} for row in table.found.tolist()), table.found)
    return UnitScore(with_classes(table.classes, average_precision(truth, found)))


def _coco(table: BoxTable, rows: Iterable[dict], keys: np.ndarray) -> COCO:
    """An index of boxes over all images and classes; unlike ``COCO.loadRes`` it may be empty."""
    annotations = [
        {**row, "image_id": int(key[0]), "category_id": int(key[5]), "area": row["bbox"][2] * row["bbox"][3]}
        for row, key in zip(rows, keys, strict=True)
    ]
    # Matches are stored by annotation number, and 0 means none.
    for number, annotation in enumerate(annotations, start=1):
        annotation["id"] = number
    coco = COCO()
    coco.dataset = {
        "images": [{"id": number} for number in range(len(table.images))],
        "categories": [{"id": index, "name": name} for index, name in enumerate(table.classes)],
        "annotations": annotations,
    }
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco


def average_precision(truth: COCO, predicted: COCO) -> dict[str, list[Estimate]]:
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
        name: [
            Estimate(float(precision[rows, :, k].mean())) if known else undefined("no true box")
            for k, known in enumerate(defined)
        ]
        for name, rows in METRICS.items()
    }

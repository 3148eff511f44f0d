"""A prediction as plain values: what the files of predictions hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from detectron2.structures import Instances
from pycocotools import mask as rle

from ..schedule import Unit
from .cardiothoracic import CardiothoracicRatio, Diameter
from .findings import Finding
from .predictor import Prediction

# Digits after the point: of scores, of pixels, and of the ratio of two diameters of some hundred pixels.
_SCORE, _PIXEL, _RATIO = 6, 2, 4


def image_record(prediction: Prediction, threshold: float) -> dict:
    """One image.

    Args:
        threshold: boxes and instances of masks with a lower score are left out; image-level scores never are.

    Returns:
        ``file_name``, ``height``, ``width``; ``scores`` (by unit, by class); ``calls`` (the same: true, false, null
        where no operating point can say; empty without any); ``boxes`` and ``masks`` (see :func:`instance_records`);
        ``findings`` (see :func:`finding_record`); with masks of heart and lungs ``cardiothoracic`` (see
        :func:`ratio_record`).
    """
    record: dict[str, Any] = {
        "file_name": prediction.name,
        "height": prediction.height,
        "width": prediction.width,
        "scores": {},
        "calls": {str(unit): calls for unit, calls in prediction.calls.items()},
        "boxes": [],
        "masks": [],
        "findings": [finding_record(finding) for finding in prediction.findings],
    }
    for unit in prediction.outputs:
        if unit.task == "cls":
            record["scores"][str(unit)] = {k: _score(v) for k, v in prediction.scores(str(unit)).items()}
        else:
            record["boxes" if unit.task == "box" else "masks"] += instance_records(prediction, unit, threshold)
    if prediction.cardiothoracic:
        record["cardiothoracic"] = [ratio_record(unit, its) for unit, its in prediction.cardiothoracic.items()]
    return record


def instance_records(prediction: Prediction, unit: Unit, threshold: float) -> list[dict]:
    """The boxes or mask instances of one unit, best first.

    Each has ``unit``, ``dataset``, ``class``, ``score`` and ``bbox`` (x, y, width, height in original pixels, as COCO
    writes it); a mask also ``area`` in pixels and ``segmentation`` (compressed COCO run lengths).
    """
    instances = prediction.instances(str(unit), threshold)
    instances = instances[instances.scores.argsort(descending=True, stable=True)]
    names = prediction.classes[unit].names
    records = []
    for row in range(len(instances)):
        records.append(
            {
                "unit": str(unit),
                "dataset": unit.dataset,
                "class": names[int(instances.pred_classes[row])],
                "score": _score(float(instances.scores[row])),
                "bbox": _bbox(instances.pred_boxes.tensor[row]),
                **(_mask(instances, row) if unit.task == "mask" else {}),
            }
        )
    return records


def finding_record(finding: Finding) -> dict:
    """``finding``, ``mean``, ``spread``, ``min``, ``max`` (null without image-level heads), ``count``, and the scores
    by unit: ``heads``, ``boxes``, ``masks``; ``called`` (number of heads that call it, null where none has an operating
    point) and ``calls`` (true or false by unit)."""
    return {
        "finding": finding.name,
        "mean": _score(finding.mean),
        "spread": _score(finding.spread),
        "min": _score(finding.low),
        "max": _score(finding.high),
        "count": finding.count,
        "heads": {unit: _score(value) for unit, value in finding.heads.items()},
        "boxes": {unit: _score(value) for unit, value in finding.boxes.items()},
        "masks": {unit: _score(value) for unit, value in finding.masks.items()},
        "called": finding.called,
        "calls": finding.calls,
    }


def ratio_record(unit: Unit, measured: CardiothoracicRatio) -> dict:
    """``unit``, ``dataset``, ``ratio``, ``heart`` and ``thorax`` (``left``, ``right``, ``y``, ``pixels``, ``mm``; null
    where it cannot be measured, ``mm`` also without a pixel spacing) and ``flags``, a list of sentences."""
    return {
        "unit": str(unit),
        "dataset": unit.dataset,
        "ratio": None if measured.ratio is None else round(measured.ratio, _RATIO),
        "heart": _diameter(measured.heart),
        "thorax": _diameter(measured.thorax),
        "flags": list(measured.flags),
    }


def _diameter(line: Diameter | None) -> dict | None:
    if line is None:
        return None
    return {
        "left": line.left,
        "right": line.right,
        "y": round(line.y, _PIXEL),
        "pixels": line.pixels,
        "mm": None if line.mm is None else round(line.mm, _PIXEL),
    }


def _score(value: float | None) -> float | None:
    return None if value is None else round(value, _SCORE)


def _bbox(corners: torch.Tensor) -> list[float]:
    x0, y0, x1, y1 = corners.tolist()
    return [round(value, _PIXEL) for value in (x0, y0, x1 - x0, y1 - y0)]


def _mask(instances: Instances, row: int) -> dict:
    pixels = instances.pred_masks[row].numpy()
    encoded = rle.encode(np.asfortranarray(pixels.astype(np.uint8)))
    return {
        "area": int(pixels.sum()),
        "segmentation": {"size": list(encoded["size"]), "counts": encoded["counts"].decode("ascii")},
    }

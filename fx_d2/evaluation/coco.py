"""COCO's average precision by pycocotools or, where it is installed, by a faster library with the same results."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.metadata import version
from types import ModuleType
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from .tables import RunLengths

logger = logging.getLogger(__name__)

# 0.40, then COCO's 0.50:0.05:0.95.
IOU_THRESHOLDS = np.array([0.40, *(0.50 + 0.05 * step for step in range(10))]).round(2)
MAX_DETECTIONS = 100
# COCO's sizes in square pixels, under Detectron2's letters; "" is all.
AREAS = {"": [0.0, 1e10], "s": [0.0, 32.0**2], "m": [32.0**2, 96.0**2], "l": [96.0**2, 1e10]}
# Tried in this order. hotcoco (MIT, Rust) gives the same precision to the last bit; see docs/metrics.md.
BACK_ENDS = ("hotcoco", "pycocotools")


@dataclass(frozen=True)
class RegionSet:
    """Boxes or masks over many images, in the order of the images.

    Attributes:
        images, categories: (M,) int64, from 0.
        values: (M,) the score of a prediction; 1 for true regions that are crowds, else 0.
        shapes: (M, 4) x, y, width, height, or a list of M run-length records.
    """

    images: np.ndarray
    categories: np.ndarray
    values: np.ndarray
    shapes: np.ndarray | Sequence[RunLengths]

    @property
    def kind(self) -> str:
        """COCO's name of the shapes."""
        return "bbox" if isinstance(self.shapes, np.ndarray) else "segm"

    @cached_property
    def areas(self) -> np.ndarray:
        """(M,) square pixels."""
        if isinstance(self.shapes, np.ndarray):
            return self.shapes[:, 2] * self.shapes[:, 3]
        # One by one: pycocotools 2.0.11 refuses more than 255 at once.
        return np.array([coco_mask.area(runs) for runs in self.shapes], dtype=np.float64)


@lru_cache
def load_back_end(name: str | None) -> tuple[ModuleType, ModuleType]:
    """The modules with ``COCO`` and with ``COCOeval``; None: of the first of :data:`BACK_ENDS` that is installed."""
    candidates = (name,) if name else BACK_ENDS
    for candidate in candidates:
        with contextlib.suppress(ModuleNotFoundError):
            package = importlib.import_module(candidate)
            logger.info("COCO evaluation by %s %s", candidate, version(candidate))
            if candidate == "pycocotools":
                return importlib.import_module("pycocotools.coco"), importlib.import_module("pycocotools.cocoeval")
            return package, package
    raise ModuleNotFoundError(f"no COCO evaluation: install one of {', '.join(candidates)}")


def back_end_name() -> str:
    """Name and version of what :func:`precision` uses."""
    package = load_back_end(None)[0].__name__.partition(".")[0]
    return f"{package} {version(package)}"


def precision(
    truth: RegionSet,
    predictions: RegionSet,
    images: int,
    classes: int,
    areas: Sequence[str] = ("",),
    name: str | None = None,
) -> np.ndarray:
    """Interpolated precision as COCO defines it: at most 100 detections per class and image, crowds ignored.

    Args:
        images, classes: their numbers. areas: keys of :data:`AREAS`. name: of the back end.

    Returns:
        (11, 101, classes, len(areas)): IoU threshold, recall, class, size; -1 for a class without truth of that size.
    """
    api, evaluator = load_back_end(name)
    with contextlib.redirect_stdout(io.StringIO()):
        if truth.kind == "bbox" and hasattr(api.COCO, "from_arrays"):
            ground_truth, detections = _boxes_from_arrays(api, truth, predictions, images, classes)
        else:
            ground_truth = _index(api, truth, images, classes, "iscrowd")
            detections = _index(api, predictions, images, classes, "score")
        evaluation = evaluator.COCOeval(ground_truth, detections, truth.kind)
        evaluation.params.iouThrs = IOU_THRESHOLDS
        evaluation.params.maxDets = [MAX_DETECTIONS]
        evaluation.params.areaRng = [AREAS[key] for key in areas]
        evaluation.params.areaRngLbl = [key or "all" for key in areas]
        evaluation.evaluate()
        evaluation.accumulate()
    return np.asarray(evaluation.eval["precision"])[..., 0]


def _boxes_from_arrays(api: ModuleType, truth: RegionSet, predictions: RegionSet, images: int, classes: int) -> tuple:
    """Both indices by hotcoco; a dict per box would take ten times longer than the evaluation."""
    categories = [{"id": number, "name": str(number)} for number in range(classes)]
    ids = [{"id": number} for number in range(images)]
    columns = (truth.images, truth.categories, truth.shapes)
    index = api.COCO.from_arrays(ids, categories, *columns, area=truth.areas, iscrowd=truth.values.astype(bool))
    rows = [predictions.images, np.asarray(predictions.shapes), predictions.values, predictions.categories]
    return index, index.load_res(np.column_stack(rows))


def _index(api: ModuleType, regions: RegionSet, images: int, classes: int, value_key: str) -> Any:
    """A COCO index; unlike ``COCO.loadRes`` it may be empty."""
    numbers, sizes = regions.images.tolist(), dict.fromkeys(range(images), (1, 1))
    if isinstance(regions.shapes, np.ndarray):
        shape_key, shapes = "bbox", regions.shapes.tolist()
    else:
        shape_key, shapes = "segmentation", regions.shapes
        # pycocotools needs the size of an image that has masks.
        sizes.update(zip(numbers, (runs["size"] for runs in shapes), strict=True))
    values = regions.values.astype(int) if value_key == "iscrowd" else regions.values
    rows = zip(numbers, regions.categories.tolist(), shapes, regions.areas.tolist(), values.tolist(), strict=True)
    coco = api.COCO()
    coco.dataset = {
        "images": [{"id": number, "height": h, "width": w} for number, (h, w) in sizes.items()],
        "categories": [{"id": number, "name": str(number)} for number in range(classes)],
        # Matches are stored by annotation number, and 0 means none.
        "annotations": [
            {"id": number, "image_id": i, "category_id": k, shape_key: s, "area": a, "iscrowd": 0, value_key: v}
            for number, (i, k, s, a, v) in enumerate(rows, start=1)
        ],
    }
    coco.createIndex()
    return coco

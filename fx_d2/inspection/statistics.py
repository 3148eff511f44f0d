"""Counts of labels, boxes and masks, and distributions of their areas."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from detectron2.structures import BoxMode
from pycocotools import mask as coco_mask

from ..data.masks import check_polygons
from ..data.rle import check_run_lengths

# Class names that say "nothing found", without their spaces and signs.
_NORMAL = {"nofinding", "nofindings", "normal", "healthy"}

# Height and width of an image; None where nobody says.
Size = tuple[int, int] | None


def is_normal_class(name: str) -> bool:
    """Whether a class of this name means a normal image."""
    return re.sub(r"[^a-z]", "", name.casefold()) in _NORMAL


def label_matrix(records: Sequence[Mapping], classes: int) -> np.ndarray:
    """Labels as float64 (N, K), NaN unknown."""
    return np.asarray([record["labels"] for record in records], np.float64).reshape(-1, classes)


def label_counts(labels: np.ndarray, classes: Sequence[str]) -> dict[str, dict[str, int]]:
    """For each class the images with label 1, 0, unknown, and soft (between 0 and 1).

    Args:
        labels: (N, K), NaN unknown.
    """
    unknown, ones, zeros = np.isnan(labels).sum(0), (labels == 1).sum(0), (labels == 0).sum(0)
    soft = len(labels) - unknown - ones - zeros
    columns = zip(classes, ones, zeros, unknown, soft, strict=True)
    return {name: {"1": int(a), "0": int(b), "unknown": int(c), "soft": int(d)} for name, a, b, c, d in columns}


def normal_images(labels: np.ndarray, classes: Sequence[str]) -> int:
    """Images known to show nothing: a class such as "No Finding" is 1 or, without such a class, all labels are 0.

    Args:
        labels: (N, K), NaN unknown.
    """
    normal = [number for number, name in enumerate(classes) if is_normal_class(name)]
    return int((labels[:, normal] == 1).any(1).sum() if normal else (labels == 0).all(1).sum())


def corners(annotation: Mapping[str, Any]) -> tuple[float, float, float, float]:
    """x0, y0, x1, y1 of a box in pixels."""
    return tuple(BoxMode.convert(list(annotation["bbox"]), annotation["bbox_mode"], BoxMode.XYXY_ABS))


def mask_share(segmentation: list | Mapping[str, Any], size: Size) -> float | None:
    """Area of a polygon or run-length mask as a share of its image; None where the image's size is needed and unknown.

    Raises:
        DataError: the polygons or run lengths are damaged or do not fit the image.
    """
    if isinstance(segmentation, list):
        check_polygons(segmentation)
        if size is None:
            return None
        runs = coco_mask.merge(coco_mask.frPyObjects(segmentation, *size))
        return float(coco_mask.area(runs)) / (size[0] * size[1])
    height, width = size or segmentation["size"]
    return int(check_run_lengths(segmentation, height, width)[1::2].sum()) / (height * width)


def spread(values: Sequence[float]) -> dict[str, float] | None:
    """Smallest, middle and largest value; None of nothing."""
    if not len(values):
        return None
    return {"min": float(np.min(values)), "median": float(np.median(values)), "max": float(np.max(values))}


def area_statistics(
    shares: Mapping[int, Sequence[tuple[str, float | None]]], classes: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """For each class the number of annotations, of images that have one, and the spread of the known shares.

    Args:
        shares: by class number, (image id, share of the image or None) of every annotation.
    """
    result = {}
    for number, name in enumerate(classes):
        found = shares.get(number, ())
        known = [share for _, share in found if share is not None]
        images = len({image_id for image_id, _ in found})
        result[name] = {"annotations": len(found), "images": images, "share": spread(known), "measured": len(known)}
    return result

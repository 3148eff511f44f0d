"""Masks of an image from the annotations of its dataset dict: polygons, run lengths, PNG files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from detectron2.structures import BoxMode
from pycocotools import mask as coco_mask

from . import rle
from .errors import DataError
from .images import read_mask

UNKNOWN = 255
# Drawing an outline takes memory for each pixel that it passes, inside the image or not.
_MAX_COORDINATE = 1e6


class PictureMask(dict):
    """``{"png": path}``, with ``"factor": n`` where the image has n times the height and width of the picture.

    COCO's run lengths, ``size`` and ``counts``, are read from the picture when they are first asked for.
    """

    def __contains__(self, key: object) -> bool:
        return super().__contains__(key) or key in ("size", "counts")

    def __missing__(self, key: str) -> Any:
        if key not in ("size", "counts"):
            raise KeyError(key)
        self.update(rle.from_mask(_enlarge(read_mask(self["png"]), self.get("factor", 1))))
        return self[key]


class PictureAnnotation(dict):
    """A mask in a picture; ``bbox`` is measured when it is first asked for, so that a listing opens no picture."""

    def __contains__(self, key: object) -> bool:
        return super().__contains__(key) or key == "bbox"

    def __missing__(self, key: str) -> Any:
        if key != "bbox":
            raise KeyError(key)
        self[key] = coco_mask.toBbox(self["segmentation"]).tolist()
        return self[key]


def mask_annotation(segmentation: list | Mapping[str, Any], category: int, iscrowd: int = 0) -> dict[str, Any]:
    """A mask as a standard dataset dict of Detectron2 has it, with the box round it (x, y, width, height).

    Args:
        segmentation: as for :func:`decode_segmentation`, valid.
        category: position in the classes.
    """
    common = {"bbox_mode": BoxMode.XYWH_ABS, "category_id": category, "iscrowd": iscrowd}
    if isinstance(segmentation, list):
        points = np.concatenate([np.reshape(polygon, (-1, 2)) for polygon in segmentation])
        low, high = points.min(axis=0), points.max(axis=0)
        return {"segmentation": segmentation, "bbox": [*low.tolist(), *(high - low).tolist()], **common}
    if "png" in segmentation:
        return PictureAnnotation(segmentation=PictureMask(segmentation), **common)
    runs = rle.compress(segmentation)
    return {"segmentation": runs, "bbox": coco_mask.toBbox(runs).tolist(), **common}


def decode_masks(dataset_dict: Mapping[str, Any], num_classes: int) -> np.ndarray:
    """The mask of every class of one image: the union of the class's annotations.

    Args:
        dataset_dict: a dict of a mask task: ``height``, ``width``, ``annotations`` and, optionally,
            ``unknown_classes`` (indices of the classes that nobody annotated on this image).

    Returns:
        uint8 array (K, H, W): 1 inside, 0 outside, 255 where the class is unknown.

    Raises:
        DataError: as :func:`decode_drawn`.
    """
    masks = np.zeros((num_classes, dataset_dict["height"], dataset_dict["width"]), np.uint8)
    for category, inside in decode_drawn(dataset_dict).items():
        masks[category] = inside
    masks[list(dataset_dict.get("unknown_classes", ()))] = UNKNOWN
    return masks


def decode_drawn(dataset_dict: Mapping[str, Any]) -> dict[int, np.ndarray]:
    """The masks of the classes that have an annotation, by class: bool (H, W) each, C-contiguous.

    Most images of a set of findings have none, which then cost no array of the size of the image.

    Raises:
        DataError: a segmentation does not fit the image or cannot be decoded; the message names the image.
    """
    drawn: dict[int, np.ndarray] = {}
    for annotation in dataset_dict["annotations"]:
        try:
            inside = decode_segmentation(annotation["segmentation"], dataset_dict["height"], dataset_dict["width"])
        except ValueError as error:
            raise DataError(f"{dataset_dict.get('file_name')}: {error}") from None
        category = annotation["category_id"]
        drawn[category] = drawn[category] | inside if category in drawn else inside
    return drawn


def decode_segmentation(segmentation: list | Mapping[str, Any], height: int, width: int) -> np.ndarray:
    """One segmentation as a boolean array (height, width).

    Args:
        segmentation: a list of polygons ``[x1, y1, x2, y2, ...]`` in pixels; a run-length record
            ``{"size": [h, w], "counts": ...}`` with counts as a list or as COCO's compressed text; or
            ``{"png": path}``, a PNG or GIF file that is not zero inside, with ``"factor": n`` if the image has n times
            its height and width.
        height, width: size of the image in pixels.

    Raises:
        DataError: the segmentation is malformed or of another size.
    """
    if isinstance(segmentation, list):
        check_polygons(segmentation)
        return _draw_polygons(segmentation, height, width)
    if "png" in segmentation:
        return _read_mask_file(segmentation["png"], segmentation.get("factor", 1), height, width)
    runs = rle.check_run_lengths(segmentation, height, width)
    return _row_major(np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height))


def marks_pixels(polygon: list[float], height: int, width: int) -> bool:
    """Whether COCO's drawing of a polygon has a pixel inside the image."""
    return bool(coco_mask.area(coco_mask.frPyObjects([polygon], height, width)).any())


def _row_major(columns: np.ndarray) -> np.ndarray:
    """The C-contiguous mask (H, W), bool, of its transpose (W, H). OpenCV takes a tenth of the time of NumPy's copy."""
    return cv2.transpose(np.ascontiguousarray(columns).view(np.uint8)).view(bool)


def _draw_polygons(polygons: list[list[float]], height: int, width: int) -> np.ndarray:
    """COCO's drawing, done inside the rectangle that holds the polygons: a small region costs little."""
    mask = np.zeros((height, width), bool)
    points = np.concatenate([np.reshape(polygon, (-1, 2)) for polygon in polygons])
    # Whole pixels, so that rounding does not change; a margin of two for the outline's own rounding.
    x0, y0 = np.clip(np.floor(points.min(axis=0)) - 2, 0, (width, height)).astype(int).tolist()
    x1, y1 = np.clip(np.ceil(points.max(axis=0)) + 2, 0, (width, height)).astype(int).tolist()
    if x1 > x0 and y1 > y0:
        moved = [(np.reshape(polygon, (-1, 2)) - (x0, y0)).ravel().tolist() for polygon in polygons]
        runs = coco_mask.merge(coco_mask.frPyObjects(moved, y1 - y0, x1 - x0))
        mask[y0:y1, x0:x1] = _row_major(coco_mask.decode(runs).T)
    return mask


def _read_mask_file(path: str | Path, factor: int, height: int, width: int) -> np.ndarray:
    """The mask in a file, each of whose pixels is ``factor`` x ``factor`` pixels of the image."""
    mask = read_mask(path)
    if (mask.shape[0] * factor, mask.shape[1] * factor) != (height, width):
        times = f" and a factor of {factor} is stated" if factor != 1 else ""
        raise DataError(
            f"{path}: the mask is {mask.shape[1]} x {mask.shape[0]} pixels (width x height), "
            f"its image {width} x {height}{times}; store both at the same size, or state the factor between them"
        )
    return _enlarge(mask, factor)


def _enlarge(mask: np.ndarray, factor: int) -> np.ndarray:
    return mask if factor == 1 else mask.repeat(factor, axis=0).repeat(factor, axis=1)


def check_polygons(polygons: Any) -> None:
    """Raises DataError unless this is a list of polygons of at least three finite points each."""
    if not polygons:
        raise DataError("the segmentation is empty; leave the annotation out if there is nothing")
    for polygon in polygons:
        if not isinstance(polygon, list):
            raise DataError("a polygon segmentation is a list of polygons, [[x1, y1, x2, y2, ...], ...]")
        numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in polygon)
        if len(polygon) < 6 or len(polygon) % 2 or not numbers or not np.isfinite(polygon).all():
            raise DataError("a polygon needs at least three points as finite numbers x1, y1, x2, y2, x3, y3")
        if np.abs(polygon).max() > _MAX_COORDINATE:
            raise DataError(f"a polygon has a point at {np.abs(polygon).max():.3g} pixels, far outside of any image")

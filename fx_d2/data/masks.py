"""Masks of an image from the annotations of its dataset dict: polygons, run lengths, pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from .errors import DataError
from .images import read_mask

UNKNOWN = 255


def decode_masks(dataset_dict: Mapping[str, Any], num_classes: int) -> np.ndarray:
    """The mask of every class of one image: the union of the class's annotations.

    Args:
        dataset_dict: a dict of a mask task: ``height``, ``width``, ``annotations`` and, optionally,
            ``unknown_classes`` (indices of the classes that nobody drew on this image).
        num_classes: number of channels K.

    Returns:
        uint8 array (K, H, W) at the size of the stored image: 1 inside, 0 outside, 255 where the class is unknown.

    Raises:
        DataError: a segmentation does not fit the image or cannot be decoded; the message names the image.
    """
    height, width = dataset_dict["height"], dataset_dict["width"]
    masks = np.zeros((num_classes, height, width), np.uint8)
    for annotation in dataset_dict["annotations"]:
        try:
            inside = decode_segmentation(annotation["segmentation"], height, width)
        except ValueError as error:
            raise DataError(f"{dataset_dict.get('file_name')}: {error}") from None
        masks[annotation["category_id"]][inside] = 1
    masks[list(dataset_dict.get("unknown_classes", ()))] = UNKNOWN
    return masks


def decode_segmentation(segmentation: list | Mapping[str, Any], height: int, width: int) -> np.ndarray:
    """One segmentation as a boolean array (height, width).

    Args:
        segmentation: a list of polygons ``[x1, y1, x2, y2, ...]`` in pixels; a run-length record
            ``{"size": [h, w], "counts": ...}`` with counts as a list or as COCO's compressed text; or
            ``{"png": path}``, a picture that is not zero inside.
        height, width: size of the image in pixels.

    Raises:
        DataError: the segmentation is malformed or of another size.
    """
    if isinstance(segmentation, list):
        check_polygons(segmentation)
        runs = coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
        return coco_mask.decode(runs).astype(bool)
    if "png" in segmentation:
        mask = read_mask(segmentation["png"])
        if mask.shape != (height, width):
            raise DataError(
                f"{segmentation['png']}: the mask is {mask.shape[1]} x {mask.shape[0]} pixels (width x height), "
                f"its image {width} x {height}; store both at the same size"
            )
        return mask
    counts = check_run_lengths(segmentation, height, width)
    # Runs alternate outside, inside, outside ... down the columns.
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape(width, height).T


def check_polygons(polygons: list) -> None:
    """Raises DataError unless this is a list of polygons of at least three finite points each."""
    if not polygons:
        raise DataError("the segmentation is empty; leave the annotation out if there is nothing")
    for polygon in polygons:
        if not isinstance(polygon, list):
            raise DataError("a polygon segmentation is a list of polygons, [[x1, y1, x2, y2, ...], ...]")
        numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in polygon)
        if len(polygon) < 6 or len(polygon) % 2 or not numbers or not np.isfinite(polygon).all():
            raise DataError("a polygon needs at least three points as finite numbers x1, y1, x2, y2, x3, y3")


def check_run_lengths(segmentation: Mapping[str, Any], height: int, width: int) -> np.ndarray:
    """The run lengths of a COCO record, after checking that they fill the image.

    Raises:
        DataError: keys are missing, the size is not the image's, or the runs do not add up.
    """
    if "counts" not in segmentation or "size" not in segmentation:
        raise DataError("a run-length segmentation needs the keys size and counts")
    if list(segmentation["size"]) != [height, width]:
        raise DataError(
            f"run-length size {list(segmentation['size'])} (height, width) is not the image's [{height}, {width}]"
        )
    counts = segmentation["counts"]
    try:
        runs = _uncompress(counts) if isinstance(counts, str | bytes) else np.asarray(counts, dtype=np.int64)
    except (ValueError, TypeError, OverflowError):
        raise DataError("the run-length counts cannot be read") from None
    if runs.ndim != 1 or (runs < 0).any() or runs.sum() != height * width:
        raise DataError(
            f"the run lengths cover {int(runs.sum())} pixels, the image has {height * width}: the counts are damaged"
        )
    return runs


def _uncompress(text: str | bytes) -> np.ndarray:
    """COCO's compressed counts: base 32 digits, lowest first, from the third on as differences to the last but one."""
    data = np.frombuffer(text.encode("ascii") if isinstance(text, str) else text, np.uint8).astype(np.int64) - 48
    if not data.size or data.min() < 0 or data.max() > 63 or data[-1] & 32:
        raise ValueError("not a compressed run-length text")
    ends = np.flatnonzero((data & 32) == 0)
    starts = np.concatenate(([0], ends[:-1] + 1))
    place = np.arange(len(data)) - np.repeat(starts, ends - starts + 1)
    values = np.add.reduceat((data & 31) << (5 * place), starts)
    negative = (data[ends] & 16) != 0
    values -= negative * (np.int64(1) << (5 * (ends - starts + 1)))
    values[1::2] = values[1::2].cumsum()
    values[2::2] = values[2::2].cumsum()
    return values

"""Checks dataset dicts against what the network needs, whoever read them, and gathers areas on the way."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np

from .problems import Problem
from .statistics import Size, corners, label_matrix, mask_share, normal_images
from .survey import TaskData

# Pixels that a box may reach beyond its image: rounding.
_TOLERANCE = 1.0

# By class number: (image id, share of the image or None if not known) of every annotation.
Shares = dict[int, list[tuple[str, float | None]]]


class TaskCheck:
    """The mistakes in the records of one task and split, and the areas of its boxes or masks.

    Args:
        dataset, task, split: what the records belong to.
        data: the records.
        sizes: height and width of images that were measured, by file; for records that do not say.
        mask_areas: height, width and pixels inside of mask pictures that were measured, by file.

    Attributes:
        problems: what is wrong, one entry a record or annotation.
        labels: (N, K) of the cls task, NaN unknown.
        shares: areas by class; an empty mask says that the class is absent, and is not among them.
        normals: images known to show nothing of the classes.
    """

    def __init__(
        self,
        dataset: str,
        task: str,
        split: str,
        data: TaskData,
        sizes: Mapping[str, tuple[int, int]],
        mask_areas: Mapping[str, tuple[int, int, int]],
    ) -> None:
        self.place = (dataset, task, split)
        self.data, self._sizes, self._mask_areas = data, sizes, mask_areas
        self.problems: list[Problem] = []
        self.shares: Shares = defaultdict(list)
        self.normals = 0
        self.labels = np.empty((0, len(data.classes)))
        self._check_repeats()
        if task == "cls":
            self._check_labels()
        else:
            self._check_annotations("box" if task == "box" else "mask")

    def _note(self, record: Mapping[str, Any], message: str, row: str = "") -> None:
        row = ", ".join(filter(None, (f"image {record['image_id']!r}", row)))
        self.problems.append(Problem(*self.place, str(record["file_name"]), row, message))

    def _check_repeats(self) -> None:
        times = Counter(str(record["image_id"]) for record in self.data.records)
        first = {str(record["image_id"]): record for record in reversed(self.data.records)}
        for image_id, number in times.items():
            if number > 1:
                self._note(first[image_id], f"the image is listed {number} times; keep one row")

    def _check_labels(self) -> None:
        classes, fitting = self.data.classes, []
        for record in self.data.records:
            if len(record["labels"]) == len(classes):
                fitting.append(record)
            else:
                self._note(record, f"{len(record['labels'])} labels for {len(classes)} classes")
        self.labels = labels = label_matrix(fitting, len(classes))
        for row, column in np.argwhere((labels < 0) | (labels > 1)):
            value = labels[row, column]
            self._note(fitting[row], f"label {value:g} of {classes[column]!r} is neither in 0..1 nor unknown (NaN)")
        self.normals = normal_images(labels, classes)
        if self.data.exclusive:
            known = ~np.isnan(labels).any(1)
            for row in np.flatnonzero(known & ~np.isclose(labels.sum(1), 1)):
                self._note(fitting[row], f"the labels of exclusive classes add up to {labels[row].sum():g}, not 1")

    def _check_annotations(self, kind: str) -> None:
        share_of = self._box_share if kind == "box" else self._mask_share
        for record in self.data.records:
            size, nothing = self._size(record), not record.get("unknown_classes")
            for number, annotation in enumerate(record["annotations"], start=1):
                try:
                    category, share = self._category(annotation), share_of(annotation, size)
                except (ValueError, KeyError, TypeError) as error:
                    message = f"the key {error} is missing" if isinstance(error, KeyError) else str(error)
                    self._note(record, message, f"{kind} {number}")
                    nothing = False
                    continue
                if share != 0:
                    nothing = False
                    self.shares[category].append((str(record["image_id"]), share))
            self.normals += nothing

    def _size(self, record: Mapping[str, Any]) -> Size:
        if "height" in record and "width" in record:
            return record["height"], record["width"]
        return self._sizes.get(str(record["file_name"]))

    def _category(self, annotation: Mapping[str, Any]) -> int:
        number, last = annotation["category_id"], len(self.data.classes) - 1
        if not isinstance(number, int | np.integer) or not 0 <= number <= last:
            raise ValueError(f"category_id {number!r} is not in 0..{last}")
        return int(number)

    @staticmethod
    def _box_share(annotation: Mapping[str, Any], size: Size) -> float | None:
        box = [float(value) for value in annotation["bbox"]]
        if len(box) != 4 or not all(math.isfinite(value) for value in box):
            raise ValueError(f"box {box} is not four finite numbers")
        x0, y0, x1, y1 = corners(annotation)
        text = f"box ({x0:g}, {y0:g}, {x1:g}, {y1:g})"
        if x1 <= x0 or y1 <= y0:
            raise ValueError(f"{text} has no area")
        if size is None:
            return None
        height, width = size
        if min(x0, y0) < -_TOLERANCE or x1 > width + _TOLERANCE or y1 > height + _TOLERANCE:
            raise ValueError(f"{text} reaches beyond the image of {width} x {height} pixels (width x height)")
        return (x1 - x0) * (y1 - y0) / (height * width)

    def _mask_share(self, annotation: Mapping[str, Any], size: Size) -> float | None:
        segmentation = annotation["segmentation"]
        path = mask_file(segmentation)
        if path is None:
            return mask_share(segmentation, size)
        if path not in self._mask_areas:
            return None
        height, width, inside = self._mask_areas[path]
        factor = segmentation.get("factor", 1)
        if size is not None and (height * factor, width * factor) != tuple(size):
            times = f" times {factor}" if factor != 1 else ""
            raise ValueError(
                f"{path} is {width} x {height}{times} pixels (width x height), its image {size[1]} x {size[0]}"
            )
        return inside / (height * width)


def mask_file(segmentation: list | Mapping[str, Any]) -> str | None:
    """The picture that holds a mask, if it is in a file of its own."""
    return None if isinstance(segmentation, list) or "png" not in segmentation else str(segmentation["png"])

"""CheXmask: machine-made masks of lungs and heart for the images of VinDr-CXR, as run lengths along the rows."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from detectron2.structures import BoxMode

from ...config.dataset_options import DATASET_OPTIONS
from .. import labels, rle
from ..errors import DataError
from ..laterality import derive_pairs
from ..masks import mask_annotation
from ..records import ReadReport, TaskRecord
from .columns import Columns
from .published import PublishedReader
from .tree import FileIndex
from .vindr_cxr import VinDrCxr

_QUALITY = "Dice RCA (Mean)"


class CheXmaskVinDr(PublishedReader):
    """Image id, images and splits are those of VinDr-CXR; the table covers its training and test images in one file."""

    folder: ClassVar = ("chexmask",)
    anchors: ClassVar = ("OriginalResolution",)
    layout: ClassVar = "OriginalResolution/VinDr-CXR.csv, and the images and tables of VinDr-CXR beside it"

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        super().__init__(name, options)
        defaults = {key: option.default for key, option in DATASET_OPTIONS["vindr_cxr"].items()}
        self._vindr = VinDrCxr("vindr_cxr", {**defaults, "root": options["images"]})

    def tasks(self) -> dict[str, TaskRecord]:
        pairs = derive_pairs(labels.CHEXMASK)
        return {
            "box": TaskRecord(
                labels.CHEXMASK, lateral_pairs=pairs, notes="boxes are made from the masks: one an organ"
            ),
            "mask": TaskRecord(labels.CHEXMASK, lateral_pairs=pairs, notes="masks are machine-made, in test, too"),
        }

    def parts(self, task: str) -> Mapping[str, Mapping[str, float]]:
        return self._vindr.parts(task)

    def images(self, part: str) -> Mapping[str, str]:
        return self._vindr.images(part)

    def index(self, part: str) -> FileIndex:
        return self._vindr.index(part)

    @cached_property
    def _table(self) -> Path:
        found = [
            path
            for folder in self.tree.folders("OriginalResolution")
            for path in (folder / "VinDr-CXR.csv", folder / "VinDr-CXR.csv.gz")
            if path.is_file()
        ]
        if not found:
            raise self.tree.missing("file", ("OriginalResolution/VinDr-CXR.csv",))
        return found[0]

    def truth(self, task: str, part: str, split_of: Mapping[str, str], report: ReadReport) -> dict[str, dict]:
        report.files.append(str(self._table))
        keys = ("image_id", _QUALITY, "Height", "Width", *labels.CHEXMASK)
        floor = float(self.options["quality"])
        fields: dict[str, dict] = {}
        for line, (image, quality, height, width, *texts) in Columns(self._table, {key: (key,) for key in keys}):
            if image not in split_of:
                continue
            place = f"{self._table}, line {line}"
            if image in fields:
                report.note("rows that repeat an image left out", f"{place}: {image}")
                continue
            try:
                size, estimate = (int(float(height)), int(float(width))), float(quality)
            except ValueError:
                raise DataError(f"{place}: Height, Width, {_QUALITY}: {height!r}, {width!r}, {quality!r}") from None
            if not estimate >= floor:
                report.note(f"images of a quality below {floor:g} left out", f"{place}: {image}")
                continue
            fields[image] = {"height": size[0], "width": size[1], "annotations": []}
            for category, (name, text) in enumerate(zip(labels.CHEXMASK, texts, strict=True)):
                annotation = self._annotation(task, category, text, size, f"{place}, column {name!r}")
                fields[image]["annotations"] += [annotation] if annotation else []
            if task == "mask":
                fields[image]["unknown_classes"] = []
        return fields

    @staticmethod
    def _annotation(task: str, category: int, text: str, size: tuple[int, int], place: str) -> dict | None:
        try:
            mask = rle.from_absolute_rows(text, *size)
        except DataError as error:
            raise DataError(f"{place}: {error}") from None
        if mask is None:
            return None
        if task == "mask":
            return mask_annotation(mask, category)
        corners = rle.boxes_from_mask(mask)
        (x0, y0), (x1, y1) = corners[:, :2].min(axis=0).tolist(), corners[:, 2:].max(axis=0).tolist()
        return {
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "bbox_mode": BoxMode.XYWH_ABS,
            "category_id": category,
            "iscrowd": 0,
        }

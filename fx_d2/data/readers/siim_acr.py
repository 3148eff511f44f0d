"""SIIM-ACR Pneumothorax Segmentation: run lengths by image, DICOM files in nested folders named by UIDs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from ..records import ReadReport, TaskRecord
from .columns import Columns
from .published import PublishedReader
from .run_length_rows import FRAME, TASKS, fields_of, read_masks

_TABLES = ("stage_2_train.csv", "train-rle.csv")


class SiimAcr(PublishedReader):
    """Image id: ``ImageId``, the stem of the DICOM file. Of two tables that of stage 2 is taken: it has all images."""

    folder: ClassVar = ("siim",)
    anchors: ClassVar = _TABLES
    layout: ClassVar = (
        "dicom-images-train/<study>/<series>/<ImageId>.dcm (and dicom-images-test/), train-rle.csv or stage_2_train.csv"
    )
    frame: ClassVar = FRAME

    def tasks(self) -> dict[str, TaskRecord]:
        return TASKS

    def parts(self, task: str) -> Mapping[str, Mapping[str, float]]:
        return {"all": {"train": 0.8, "val": 0.1, "test": 0.1}}

    def _columns(self) -> Columns:
        found = self.tree.look_for(_TABLES[0]) or self.tree.file(_TABLES[1])
        return Columns(found, {"ImageId": ("ImageId",), "EncodedPixels": ("EncodedPixels",)})

    def images(self, part: str) -> Mapping[str, str]:
        return {image: "" for _, (image, _) in self._columns()}

    def folders(self, part: str) -> list[Path]:
        return self.tree.roots

    def truth(self, task: str, part: str, split_of: Mapping[str, str], report: ReadReport) -> dict[str, dict]:
        table = self._columns()
        report.files.append(str(table.path))
        rows = ((image, text, f"{table.path}, line {line}") for line, (image, text) in table)
        return {image: fields_of(task, masks, image, report) for image, masks in read_masks(rows, report).items()}

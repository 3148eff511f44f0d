"""JSRT with the masks of SCR: raw images, a table by tokens, one GIF for each structure at half the image's size."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from .. import labels
from ..errors import DataError
from ..laterality import derive_pairs
from ..records import ReadReport, TaskRecord
from .boxes import box_annotation
from .mask_files import read_mask_files
from .published import PublishedReader
from .tables import open_text
from .tree import stem

# Millimetres of a pixel.
_PIXEL = 0.175


class Jsrt(PublishedReader):
    """Image id: the name without suffix, ``JPCLN001``. Left is the patient's left."""

    folder: ClassVar = ("jsrt",)
    anchors: ClassVar = ("All247images", "Nodule154images")
    layout: ClassVar = (
        "All247images/JPCLN001.IMG (or Nodule154images/ and NonNodule93images/), Clinical_Information/CLNDAT_EN.txt, "
        "scratch/{fold1,fold2}/masks/{heart,left lung,...}/JPCLN001.gif"
    )
    frame: ClassVar = (2048, 2048)

    def tasks(self) -> dict[str, TaskRecord]:
        boxes = "a square round the nodule's centre, as wide as the nodule's size in mm says"
        return {
            "cls": TaskRecord(labels.NODULE),
            "box": TaskRecord(labels.NODULE, notes=boxes),
            "mask": TaskRecord(labels.SCR, lateral_pairs=derive_pairs(labels.SCR), notes="drawn at half the size"),
        }

    def images(self, part: str) -> Mapping[str, str]:
        names = (re.fullmatch(r"jpc[ln]n\d{3}", stem(path)) for path in self.index(part).paths())
        return {found[0].upper(): "" for found in names if found}

    def folders(self, part: str) -> list[Path]:
        try:
            return self.tree.folders("All247images")
        except DataError:
            return [*self.tree.folders("Nodule154images"), *self.tree.folders("NonNodule93images")]

    def truth(self, task: str, part: str, split_of: Mapping[str, str], report: ReadReport) -> dict[str, dict]:
        if task == "cls":
            report.files.append("the names of the files")
            return {image: {"labels": [float(image.startswith("JPCLN"))]} for image in split_of}
        if task == "box":
            return self._boxes(split_of, report)
        # A structure's folders in both folds: which images a fold has is told differently by different copies.
        folders = {name: self.tree.folders(name) for name in labels.SCR}
        return read_mask_files(folders, split_of, report, factor=2)

    def _boxes(self, split_of: Mapping[str, str], report: ReadReport) -> dict[str, dict]:
        path = self.tree.file("CLNDAT_EN.txt")
        report.files.append(str(path))
        try:
            with open_text(path) as stream:
                text = stream.read()
        except UnicodeDecodeError:
            raise DataError(f"{path}: not a text file in UTF-8") from None
        fields: dict[str, dict] = {image: {"annotations": []} for image in split_of if image.startswith("JPCNN")}
        # Some copies run two records together without a line end: a record goes from one name to the next.
        for record in re.split(r"(?=JPC[LN]N\d{3})", text, flags=re.IGNORECASE)[1:]:
            image, place = record[:8].upper(), f"{path}: {record[:8]}"
            if image in fields:
                report.note("records that repeat an image left out", place)
                continue
            fields[image] = {"annotations": self._box(record, place, report)}
        for image in [image for image in fields if image not in split_of]:
            report.note("images without a file", f"{path}: {image}")
            del fields[image]
        for image in split_of:
            if image not in fields:
                report.note("nodule images without a record left out", f"{path}: {image}")
        return fields

    def _box(self, record: str, place: str, report: ReadReport) -> list[dict]:
        # name, subtlety, size in mm, age ("?" if unknown), sex, x, y, malignant or benign, place, diagnosis
        values = [value.strip() for value in record.split("\t")]
        try:
            size, x, y = (float(values[k]) for k in (2, 5, 6))
        except (IndexError, ValueError):
            raise DataError(
                f"{place}: nodule size, x and y are expected in columns 3, 6 and 7, not {values[:8]}"
            ) from None
        side = size / _PIXEL
        annotation = box_annotation([x - side / 2, y - side / 2, side, side], 0, self.frame, place, report)
        return [annotation] if annotation else []

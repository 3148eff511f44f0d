"""RSNA Pneumonia Detection Challenge, stage 2: one row per box, and a table of three image classes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from .. import labels
from ..errors import DataError, nearest
from ..records import ReadReport, TaskRecord
from .boxes import box_annotation, numbers
from .coco import read_json
from .columns import Columns, fold
from .published import PublishedReader

_MAPPING = "pneumonia-challenge-dataset-mappings_2018.json"
_BOX = ("x", "y", "width", "height")


class RsnaPneumonia(PublishedReader):
    """Image id: ``patientId``, which names an image; the patient is NIH's where the mapping file is there."""

    folder: ClassVar = ("rsna",)
    anchors: ClassVar = ("stage_2_train_labels.csv",)
    layout: ClassVar = (
        "stage_2_train_images/<patientId>.dcm, stage_2_train_labels.csv, stage_2_detailed_class_info.csv"
        f"; optional: {_MAPPING}"
    )
    frame: ClassVar = (1024, 1024)

    def tasks(self) -> dict[str, TaskRecord]:
        return {
            "cls": TaskRecord(labels.RSNA_PNEUMONIA, exclusive=True),
            "box": TaskRecord(labels.RSNA_PNEUMONIA_BOX),
        }

    def parts(self, task: str) -> Mapping[str, Mapping[str, float]]:
        return {"all": {"train": 0.8, "val": 0.1, "test": 0.1}}

    @cached_property
    def _nih_name(self) -> dict[str, str]:
        """The ChestX-ray14 file of each image, from the organisers' mapping file; empty without it."""
        path = self.tree.look_for(_MAPPING)
        if path is None:
            return {}
        entries = read_json(path)
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise DataError(f"{path}: a list of records with subset_img_id and img_id is expected")
        return {str(entry.get("subset_img_id", "")): str(entry.get("img_id", "")) for entry in entries}

    def images(self, part: str) -> Mapping[str, str]:
        path = self.tree.file("stage_2_train_labels.csv")
        names = (image for _, (image,) in Columns(path, {"image": ("patientId",)}))
        return {image: self._nih_name.get(image, "").partition("_")[0] for image in names}

    def folders(self, part: str) -> list[Path]:
        return self.tree.folders("stage_2_train_images")

    def truth(self, task: str, part: str, split_of: Mapping[str, str], report: ReadReport) -> dict[str, dict]:
        fields = self._classes(report) if task == "cls" else self._boxes(report)
        for image, entry in fields.items():
            if self._nih_name.get(image):
                entry["same_image"] = ("nih_cxr14", self._nih_name[image])
        return fields

    def _classes(self, report: ReadReport) -> dict[str, dict]:
        """One of three classes an image; the table repeats the row for each box."""
        path = self.tree.file("stage_2_detailed_class_info.csv")
        report.files.append(str(path))
        position = {fold(name): number for number, name in enumerate(labels.RSNA_PNEUMONIA)}
        one_hot = [[float(k == number) for k in range(len(position))] for number in range(len(position))]
        fields: dict[str, dict] = {}
        for line, (image, name) in Columns(path, {"image": ("patientId",), "class": ("class",)}):
            place = f"{path}, line {line}"
            if fold(name) not in position:
                raise DataError(f"{place}: class {name!r}; {nearest(name, labels.RSNA_PNEUMONIA, 'classes')}")
            entry = {"labels": one_hot[position[fold(name)]]}
            if fields.setdefault(image, entry)["labels"] != entry["labels"]:
                raise DataError(f"{place}: image {image!r} has another class in an earlier row; keep one")
        return {image: entry for image, entry in fields.items() if self._has_row(image, path, report)}

    def _has_row(self, image: str, path: object, report: ReadReport) -> bool:
        known = image in self._images["all"]
        if not known:
            report.note("images of the class table that the label table lacks left out", f"{path}: {image}")
        return known

    def _boxes(self, report: ReadReport) -> dict[str, dict]:
        path = self.tree.file("stage_2_train_labels.csv")
        report.files.append(str(path))
        wanted = {key: (key,) for key in ("patientId", *_BOX, "Target")}
        fields: dict[str, dict] = {}
        seen = set()
        for line, (image, *box, target) in Columns(path, wanted):
            place = f"{path}, line {line}"
            if target not in ("0", "1"):
                raise DataError(f"{place}: Target {target!r} is neither 0 nor 1")
            if (target == "1") != any(box):
                raise DataError(f"{place}: Target {target} and box {box}: a box belongs to Target 1 and to no other")
            annotations = fields.setdefault(image, {"annotations": []})["annotations"]
            if (image, *box) in seen:
                report.note("rows repeated left out", f"{place}: {image}")
            elif target == "1":
                annotation = box_annotation(numbers(box, place), 0, self.frame, place, report)
                annotations += [annotation] if annotation else []
            seen.add((image, *box))
        return fields

"""NIH ChestX-ray14: labels joined by ``|`` in one CSV, official lists, 984 boxes on images of the test list."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from .. import labels
from ..errors import DataError, nearest
from ..records import ReadReport, TaskRecord
from .boxes import box_annotation, numbers
from .columns import Columns
from .published import PublishedReader
from .tables import read_names

_NONE = "No Finding"
# The box file's own spelling.
_BOX_NAMES = {"Infiltrate": "Infiltration"}


class NihCxr14(PublishedReader):
    """Image id: the file's name, ``00000001_000.png``. Both the flat and the twelve-folder form of the images work."""

    folder: ClassVar = ("nihcxr", "nihchest", "chestxray14", "chestxray8", "cxr8")
    anchors: ClassVar = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")
    layout: ClassVar = (
        "images/00000001_000.png (or images_001/images/ ... images_012/images/), Data_Entry_2017_v2020.csv, "
        "train_val_list.txt, test_list.txt, BBox_List_2017.csv"
    )
    frame: ClassVar = (1024, 1024)
    _LISTS: ClassVar = {"train_val": "train_val_list.txt", "test": "test_list.txt"}

    def tasks(self) -> dict[str, TaskRecord]:
        box_notes = "880 test images only; a finding without a box is unknown there, not absent"
        return {"cls": TaskRecord(labels.NIH_CXR14), "box": TaskRecord(labels.NIH_CXR14_BOX, notes=box_notes)}

    def parts(self, task: str) -> Mapping[str, Mapping[str, float]]:
        if task == "box" and self.options["boxes"] == "drawn":
            return {"boxed": {"train": 0.7, "val": 0.1, "test": 0.2}}
        return {"train_val": {"train": 0.87, "val": 0.13}, "test": {"test": 1.0}}

    @cached_property
    def _table(self) -> Path:
        return self.tree.file(*self.anchors)

    @cached_property
    def _findings(self) -> dict[str, tuple[str, str, int]]:
        """Finding labels, patient and line of every image of the table; the first row of an image counts."""
        wanted = {"image": ("Image Index",), "labels": ("Finding Labels",), "patient": ("Patient ID",)}
        rows: dict[str, tuple[str, str, int]] = {}
        for line, (image, names, patient) in Columns(self._table, wanted):
            # Eight digits, as in the file names and in what RSNA's mapping file gives.
            rows.setdefault(image, (names, patient.zfill(8), line))
        return rows

    def images(self, part: str) -> Mapping[str, str]:
        if part == "boxed":
            return {image: self._findings[image][1] for image, _, _, _ in self._boxes() if image in self._findings}
        path = self.tree.file(self._LISTS[part])
        listed = [name for name, _ in read_names(path)]
        return {name: self._findings[name][1] if name in self._findings else "" for name in listed}

    def known(self, part: str, images: Mapping[str, str]) -> Mapping[str, object]:
        return self._findings

    def truth(self, task: str, part: str, split_of: Mapping[str, str], report: ReadReport) -> dict[str, dict]:
        report.files.append(str(self._table))
        if task == "box":
            return self._box_truth(split_of, report)
        memo: dict[str, list[float]] = {}
        fields = {}
        for image in split_of:
            if image not in self._findings:
                report.note("images of the split list without a row", f"{self._table}: {image}")
                continue
            names, _, line = self._findings[image]
            if names not in memo:  # a few hundred combinations stand for 112,120 rows
                memo[names] = self._labels(names, f"{self._table}, line {line}")
            fields[image] = {"labels": memo[names]}
        return fields

    def _labels(self, joined: str, place: str) -> list[float]:
        names = {name.strip() for name in joined.split("|")}
        unknown = names - {_NONE, *labels.NIH_CXR14}
        if unknown or (_NONE in names and len(names) > 1):
            name = next(iter(unknown), _NONE)
            why = nearest(name, (_NONE, *labels.NIH_CXR14), "findings") if unknown else "it must stand alone"
            raise DataError(f"{place}: finding {name!r} of {joined!r}: {why}")
        return [float(name in names) for name in labels.NIH_CXR14]

    def _boxes(self):
        """Image, class, box texts and place of each row of the box list."""
        path = self.tree.file("BBox_List_2017.csv")
        # The header's last name is "Bbox [x,y,w,h]", unquoted: four columns to a CSV reader, which the rows fill.
        wanted = {"image": ("Image Index",), "label": ("Finding Label",), "x": ("Bbox [x",), "y": ("y",)}
        wanted |= {"w": ("w",), "h": ("h]",)}
        for line, (image, name, *box) in Columns(path, wanted, ragged=True):
            yield image, name, box, f"{path}, line {line}"

    def _box_truth(self, split_of: Mapping[str, str], report: ReadReport) -> dict[str, dict]:
        # Only boxed images are known: the others were not looked at for boxes and are no negatives.
        fields: dict[str, dict] = {}
        seen = set()
        report.files.append(str(self.tree.file("BBox_List_2017.csv")))
        for image, name, box, place in self._boxes():
            name = _BOX_NAMES.get(name, name)
            if name not in labels.NIH_CXR14_BOX:
                raise DataError(f"{place}: class {name!r}; {nearest(name, labels.NIH_CXR14_BOX, 'classes')}")
            if image not in self._findings:
                report.note("boxes of images without a row left out", f"{place}: {image}")
                continue
            if (image, name, *box) in seen:
                report.note("rows repeated left out", f"{place}: {image}")
                continue
            seen.add((image, name, *box))
            category = labels.NIH_CXR14_BOX.index(name)
            annotation = box_annotation(numbers(box, place), category, self.frame, place, report)
            if image in split_of:
                entry = fields.setdefault(image, {"annotations": []})
                entry["annotations"] += [annotation] if annotation else []
        return fields

    def why_empty(self, task: str, split: str) -> str:
        text = super().why_empty(task, split)
        if task == "box":
            text += (
                ". All boxed images are in the official test list; DATASETS.OPTIONS.nih_cxr14.boxes drawn splits them "
                "by patient instead"
            )
        return text

"""NODE21: one row per nodule in the frame of the processed images, a row of zeros for an image without."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from .. import labels
from ..errors import DataError
from ..records import ReadReport, TaskRecord
from .boxes import box_annotation, numbers
from .columns import Columns
from .published import PublishedReader
from .tree import Tree

# The misspelling is the publisher's.
_PROCESSED = ("proccessed_data", "processed_data")
_ORIGIN = "filenames_orig_and_new.csv"
# Names of the columns that say what an image was called in its source; releases differ.
_OLD_NAME = ("orig_img_id", "orig_image_id", "orig_filename", "orig_file_name", "original_filename", "orig_img_name")
_BOX = ("x", "y", "width", "height")


class Node21(PublishedReader):
    """Image id: ``img_name``, ``n0001.mha``. Patients are known for images that the name list finds in ChestX-ray14."""

    folder: ClassVar = ("node21", "cxrimages")
    anchors: ClassVar = ("metadata.csv",)
    layout: ClassVar = "cxr_images/proccessed_data/{images/*.mha, metadata.csv}"
    frame: ClassVar = (1024, 1024)

    def tasks(self) -> dict[str, TaskRecord]:
        return {"cls": TaskRecord(labels.NODULE), "box": TaskRecord(labels.NODULE)}

    @cached_property
    def _processed(self) -> Tree:
        """The processed images with their table; the originals have other sizes and may have a table, too."""
        try:
            folder = self.tree.folders(*_PROCESSED)[0]
        except DataError:
            folder = self.tree.root
        return Tree(self.name, folder, self.layout)

    @cached_property
    def _source(self) -> dict[str, tuple[str, str]]:
        """(dataset, name there) of each image that the publisher's list traces back to a set that we know."""
        path = self.tree.look_for(_ORIGIN)
        if path is None:
            return {}
        wanted = {"new": ("node21_img_id",), "set": ("orig_dataset",), "old": _OLD_NAME}
        rows = (fields for _, fields in Columns(path, wanted, optional=("old",)))
        return {_key(new): (known, old) for new, origin, old in rows if old and (known := _known_set(origin))}

    def images(self, part: str) -> Mapping[str, str]:
        path = self._processed.file("metadata.csv")
        return {name: self._patient(name) for _, (name,) in Columns(path, {"img_name": ("img_name",)})}

    def _patient(self, name: str) -> str:
        dataset, old = self._source.get(_key(name), ("", ""))
        return old.partition("_")[0] if dataset == "nih_cxr14" else ""

    def folders(self, part: str) -> list[Path]:
        return self._processed.folders("images")

    def truth(self, task: str, part: str, split_of: Mapping[str, str], report: ReadReport) -> dict[str, dict]:
        path = self._processed.file("metadata.csv")
        report.files.append(str(path))
        wanted = {"img_name": ("img_name",), "label": ("label",), **{key: (key,) for key in _BOX}}
        fields: dict[str, dict] = {}
        seen: set[tuple[str, ...]] = set()
        for line, (name, label, *box) in Columns(path, wanted):
            place = f"{path}, line {line}"
            if label not in ("0", "1"):
                raise DataError(f"{place}: label {label!r} is neither 0 (no nodule) nor 1")
            row = (name, *box)
            if row in seen:
                report.note("rows repeated left out", f"{place}: {name}")
                continue
            values, first = numbers(box, place), fields.get(name)
            seen.add(row)
            if label == "0" and any(values):
                raise DataError(f"{place}: label 0 (no nodule), but box {', '.join(box)}")
            entry = fields.setdefault(name, {"labels": [float(label)]} if task == "cls" else {"annotations": []})
            if self._contradicts(entry, label, first is not None, task):
                raise DataError(f"{place}: image {name!r} has rows with label 0 and with label 1; keep one kind")
            if label == "1" and task == "box":
                annotation = box_annotation(values, 0, self.frame, place, report)
                entry["annotations"] += [annotation] if annotation else []
        for name, entry in fields.items():
            if self._source.get(_key(name)):
                entry["same_image"] = self._source[_key(name)]
        return fields

    @staticmethod
    def _contradicts(entry: Mapping, label: str, again: bool, task: str) -> bool:
        if not again:
            return False
        return entry["labels"] != [float(label)] if task == "cls" else bool(entry["annotations"]) != (label == "1")


def _key(name: str) -> str:
    return Path(name).stem.casefold()


def _known_set(origin: str) -> str:
    """Our name of a source; empty if it is none of ours."""
    folded = origin.casefold()
    if "jsrt" in folded:
        return "jsrt"
    return "nih_cxr14" if any(word in folded for word in ("chestx", "nih", "cxr14", "cxr8")) else ""

"""Montgomery County set: the label is in the file's name, a mask file for each lung."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from .. import labels
from ..records import ReadReport, TaskRecord
from .published import PublishedReader
from .tree import FileIndex, stem

_SIDES = {"Left Lung": "leftMask", "Right Lung": "rightMask"}


class Montgomery(PublishedReader):
    """Image id: the name without suffix, ``MCUCXR_0001_0``. ``leftMask`` is taken as the patient's left lung."""

    folder: ClassVar = ("montgomery",)
    anchors: ClassVar = ("CXR_png",)
    layout: ClassVar = (
        "MontgomerySet/CXR_png/MCUCXR_0001_0.png, MontgomerySet/ManualMask/{leftMask,rightMask}/ (same names)"
    )

    def tasks(self) -> dict[str, TaskRecord]:
        mask = TaskRecord(tuple(_SIDES), lateral_pairs=(("Left Lung", "Right Lung"),))
        return {"cls": TaskRecord(labels.TUBERCULOSIS), "mask": mask}

    def parts(self, task: str) -> Mapping[str, Mapping[str, float]]:
        return {"all": {"train": 0.7, "val": 0.1, "test": 0.2}}

    def images(self, part: str) -> Mapping[str, str]:
        names = (re.fullmatch(r"mcucxr_\d+_[01]", stem(path)) for path in self.index(part).paths())
        return {found[0].upper(): "" for found in names if found}

    def index(self, part: str) -> FileIndex:
        return self._pictures

    @cached_property
    def _pictures(self) -> FileIndex:
        return FileIndex(self.tree.folders("CXR_png"))

    def truth(self, task: str, part: str, split_of: Mapping[str, str], report: ReadReport) -> dict[str, dict]:
        if task == "cls":
            report.files.append("the names of the files")
            return {image: {"labels": [float(image.endswith("_1"))]} for image in split_of}
        folders = {name: self.tree.folders(folder) for name, folder in _SIDES.items()}
        report.files += [str(folder) for found in folders.values() for folder in found]
        masks = [FileIndex(found) for found in folders.values()]
        return {image: entry for image in split_of if (entry := self._masks(image, masks, report)) is not None}

    @staticmethod
    def _masks(image: str, masks: list[FileIndex], report: ReadReport) -> dict | None:
        """The mask of each lung; a side without a file is unknown, an image without both is left out."""
        paths = [index.get(image) for index in masks]
        missing = [number for number, path in enumerate(paths) if path is None]
        for number in missing:
            report.note("lungs without a mask file", f"{image} in {Path(masks[number].folders[0]).name}")
        if len(missing) == len(paths):
            return None
        annotations = [
            {"segmentation": {"png": path}, "category_id": number, "iscrowd": 0}
            for number, path in enumerate(paths)
            if path is not None
        ]
        return {"annotations": annotations, "unknown_classes": missing}

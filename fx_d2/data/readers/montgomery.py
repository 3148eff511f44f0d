"""Montgomery County set: the label is in the file's name, a mask file for each lung."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from .. import labels
from ..records import ReadReport, TaskRecord
from .mask_files import read_mask_files
from .published import PublishedReader
from .tree import stem

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

    def images(self, part: str) -> Mapping[str, str]:
        names = (re.fullmatch(r"mcucxr_\d+_[01]", stem(path)) for path in self.index(part).paths())
        return {found[0].upper(): "" for found in names if found}

    def folders(self, part: str) -> list[Path]:
        return self.tree.folders("CXR_png")

    def truth(self, task: str, part: str, split_of: Mapping[str, str], report: ReadReport) -> dict[str, dict]:
        if task == "cls":
            report.files.append("the names of the files")
            return {image: {"labels": [float(image.endswith("_1"))]} for image in split_of}
        folders = {name: self.tree.folders(folder) for name, folder in _SIDES.items()}
        return read_mask_files(folders, split_of, report)

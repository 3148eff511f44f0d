"""Shenzhen Hospital set: the label is the last digit of the file's name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from .. import labels
from ..records import ReadReport, TaskRecord
from .published import PublishedReader
from .tree import stem


class Shenzhen(PublishedReader):
    """Image id: the name without suffix, ``CHNCXR_0001_0``. One image a patient, as far as is known."""

    folder: ClassVar = ("chinaset", "shenzhen")
    anchors: ClassVar = ("CXR_png", "ClinicalReadings", "images", "Annotations")
    layout: ClassVar = "ChinaSet_AllFiles/CXR_png/CHNCXR_0001_0.png ... CHNCXR_0662_1.png"

    def tasks(self) -> dict[str, TaskRecord]:
        return {"cls": TaskRecord(labels.TUBERCULOSIS)}

    def images(self, part: str) -> Mapping[str, str]:
        return dict.fromkeys(self._label_of, "")

    @cached_property
    def _label_of(self) -> dict[str, float]:
        """Label by image id. Masks lie beside the images; their names go on after the label."""
        names = (re.fullmatch(r"(chncxr_\d+)_([01])", stem(path)) for path in self.index("all").paths())
        return {found[0].upper(): float(found[2]) for found in names if found}

    def known(self, part: str, images: Mapping[str, str]) -> list[str]:
        return self.index(part).paths()  # a mask is listed as its image is

    def truth(self, task: str, part: str, split_of: Mapping[str, str], report: ReadReport) -> dict[str, dict]:
        report.files.append("the names of the files")
        return {image: {"labels": [label]} for image, label in self._label_of.items()}

    def folders(self, part: str) -> list[Path]:
        return self.tree.roots

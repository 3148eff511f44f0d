"""MIMIC-CXR-JPG: labels of a study, joined with the official split on image and study."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from .. import labels
from ..records import ReadReport, TaskRecord
from .columns import Columns
from .findings import FindingRules
from .published import PublishedReader

_FRONTAL = ("AP", "PA")
_VERSIONS = ("2.0.0", "2.1.0")


def _names(table: str) -> tuple[str, ...]:
    return tuple(f"mimic-cxr-{version}-{table}.csv" for version in _VERSIONS)


class MimicCxr(PublishedReader):
    """Image id: ``dicom_id``. The classes stand in CheXpert's order; the tables' own is alphabetical."""

    folder: ClassVar = ("mimiccxr",)
    anchors: ClassVar = _names("split")
    layout: ClassVar = (
        "files/p10/p10000032/s50414267/<dicom_id>.jpg, mimic-cxr-2.0.0-{split,chexpert,negbio,metadata}.csv.gz"
    )

    def tasks(self) -> dict[str, TaskRecord]:
        return {"cls": TaskRecord(labels.CHEXPERT, notes="labels of the study: its views share them")}

    def parts(self, task: str) -> Mapping[str, Mapping[str, float]]:
        return {"train": {"train": 1.0}, "validate": {"val": 1.0}, "test": {"test": 1.0}}

    @cached_property
    def _rows(self) -> dict[str, dict[str, tuple[str, str]]]:
        """Patient and study by image, by part; views that are not asked for are left out."""
        keys = ("dicom_id", "subject_id", "study_id", "split")
        rows: dict[str, dict[str, tuple[str, str]]] = {}
        views = self._views
        for _, (image, patient, study, part) in Columns(
            self.tree.file(*_names("split")), {key: (key,) for key in keys}
        ):
            if views is None or views.get(image) in _FRONTAL:
                rows.setdefault(part, {})[image] = sys.intern(patient), sys.intern(study)
        return rows

    @cached_property
    def _views(self) -> dict[str, str] | None:
        if self.options["views"] == "all":
            return None
        wanted = {key: (key,) for key in ("dicom_id", "ViewPosition")}
        return {image: sys.intern(view) for _, (image, view) in Columns(self.tree.file(*_names("metadata")), wanted)}

    def images(self, part: str) -> Mapping[str, str]:
        return {image: patient for image, (patient, _) in self._rows.get(part, {}).items()}

    def known(self, part: str, images: Mapping[str, str]) -> Iterable[str]:
        listed = (image for rows in self._rows.values() for image in rows)
        return listed if self._views is None else self._views

    def folders(self, part: str) -> list[Path]:
        return self.tree.folders("files")

    def truth(self, task: str, part: str, split_of: Mapping[str, str], report: ReadReport) -> dict[str, dict]:
        path = self.tree.file(*_names(self.options["labeller"]))
        report.files += [str(self.tree.file(*_names("split"))), str(path)]
        rules = FindingRules(labels.CHEXPERT, self.options["uncertain"], self.options["blank"])
        rows = self._rows.get(part, {})
        studies = {study for _, study in rows.values()}
        wanted = {"study_id": ("study_id",), **{name: (name,) for name in labels.CHEXPERT}}
        found: dict[str, list[float]] = {}
        for line, (study, *texts) in Columns(path, wanted):
            place = f"{path}, line {line}"
            values = rules.labels(texts, study, part == "train", place)
            if study not in studies:
                continue
            if found.setdefault(study, values) is not values:
                report.note("rows that repeat a study left out", f"{place}: {study}")
        fields = {}
        for image, (_, study) in rows.items():
            if study in found:
                fields[image] = {"labels": found[study]}
            else:
                report.note("images of studies without labels left out", f"{path}: study {study}")
        return fields

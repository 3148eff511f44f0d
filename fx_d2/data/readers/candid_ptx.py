"""CANDID-PTX: run lengths beside the reports; DICOM files named by their UID, most often without a suffix."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from ..records import ReadReport, TaskRecord
from .columns import Columns
from .published import PublishedReader
from .run_length_rows import FRAME, TASKS, fields_of, read_masks

_TABLE = "Pneumothorax_reports.csv"


class CandidPtx(PublishedReader):
    """Image id: ``SOPInstanceUID``. The patient is the first part of the report's ``filename``."""

    folder: ClassVar = ("candid",)
    anchors: ClassVar = (_TABLE,)
    bare: ClassVar = True
    layout: ClassVar = "dataset/<SOPInstanceUID> (DICOM, with or without .dcm), Pneumothorax_reports.csv"
    frame: ClassVar = FRAME

    def tasks(self) -> dict[str, TaskRecord]:
        return TASKS

    @cached_property
    def _table(self) -> Path:
        return self.tree.file(_TABLE)

    @cached_property
    def _patients(self) -> dict[str, list[str]]:
        """The patients of each image; a few images stand under two."""
        patients: dict[str, list[str]] = {}
        for _, (image, name) in Columns(self._table, {"uid": ("SOPInstanceUID",), "filename": ("filename",)}):
            known = patients.setdefault(image, [])
            patient = name.partition("_")[0]
            known += [patient] if patient and patient not in known else []
        return patients

    def images(self, part: str) -> Mapping[str, str]:
        # Patients who share an image are one for the split: the image must not be on both sides.
        leader: dict[str, str] = {}

        def find(patient: str) -> str:
            while leader.get(patient, patient) != patient:
                patient = leader[patient]
            return patient

        for names in self._patients.values():
            for name in names[1:]:
                first, second = sorted((find(names[0]), find(name)))
                leader[second] = first
        return {image: find(names[0]) if names else "" for image, names in self._patients.items()}

    def folders(self, part: str) -> list[Path]:
        return self.tree.folders("dataset")

    def truth(self, task: str, part: str, split_of: Mapping[str, str], report: ReadReport) -> dict[str, dict]:
        report.files.append(str(self._table))
        for image, names in self._patients.items():
            if len(names) > 1:
                report.note(
                    "images of two patients, who count as one", f"{self._table}: {image}: {' and '.join(names)}"
                )
        columns = Columns(self._table, {"uid": ("SOPInstanceUID",), "pixels": ("EncodedPixels",)})
        rows = ((image, text, f"{self._table}, line {line}") for line, (image, text) in columns)
        return {image: fields_of(task, masks, image, report) for image, masks in read_masks(rows, report).items()}

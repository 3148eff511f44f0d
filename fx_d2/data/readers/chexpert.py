"""CheXpert: one CSV per split; ``Path`` keeps a first folder that the batch download does not have."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import ClassVar

from .. import labels
from ..errors import DataError
from ..records import ReadReport, TaskRecord
from .columns import Columns
from .findings import FindingRules
from .published import PublishedReader

_PATH, _VIEW = "Path", "Frontal/Lateral"
_VAL_SHARE = {"train": 0.9, "val": 0.1}


class CheXpert(PublishedReader):
    """Image id: ``patient00001/study1/view1_frontal.jpg``, which is unique over all splits and editions."""

    folder: ClassVar = ("chexpert", "chexlocalize")
    anchors: ClassVar = ("train.csv",)
    layout: ClassVar = (
        "train.csv, valid.csv and {train,valid}/patient00001/study1/view1_frontal.jpg in CheXpert-v1.0-small/, or the "
        "four 'CheXpert-v1.0 batch N (...)' folders of the full edition; test_labels.csv and test/ of CheXlocalize"
    )
    path_parts: ClassVar = 3
    _TABLES: ClassVar = {"train": ("train.csv",), "val": ("valid.csv", "val_labels.csv"), "test": ("test_labels.csv",)}

    def tasks(self) -> dict[str, TaskRecord]:
        return {"cls": TaskRecord(labels.CHEXPERT)}

    def parts(self, task: str) -> Mapping[str, Mapping[str, float]]:
        if self.options["splits"] == "three":
            return {"train": _VAL_SHARE, "val": {"test": 1.0}}
        return {"train": {"train": 1.0}, "val": {"val": 1.0}, "test": {"test": 1.0}}

    def images(self, part: str) -> Mapping[str, str]:
        # sys.intern: one text for all images of a patient.
        return {key: sys.intern(key.partition("/")[0]) for _, key, _ in self._rows(part, ())}

    def truth(self, task: str, part: str, split_of: Mapping[str, str], report: ReadReport) -> dict[str, dict]:
        path = self._table(part)
        report.files.append(str(path))
        rules = FindingRules(labels.CHEXPERT, self.options["uncertain"], self.options["blank"])
        fields: dict[str, dict] = {}
        for line, key, texts in self._rows(part, labels.CHEXPERT):
            place = f"{path}, line {line}"
            if key in fields:
                report.note("rows that repeat an image left out", f"{place}: {key}")
                continue
            fields[key] = {"labels": rules.labels(texts, key, split_of[key] == "train", place)}
        return fields

    def folders(self, part: str) -> list[Path]:
        # The small edition has a folder for each split, the batches hold patients; only the ids tell splits apart, but
        # listing 190,000 folders for 234 images would be a waste.
        names = {"train": ("train",), "val": ("valid", "val"), "test": ("test",)}[part]
        try:
            return self.tree.folders(*names)
        except DataError:
            return [self.tree.root]

    def known(self, part: str, images: Mapping[str, str]) -> Iterable[str]:
        if self.options["views"] == "all":
            return images
        return (key for _, key, _ in self._rows(part, (), every_view=True))

    @cache  # noqa: B019 (one reader lives as long as its registration)
    def _table(self, part: str) -> Path:
        try:
            return self.tree.file(*self._TABLES[part])
        except DataError as error:
            if part != "test":
                raise
            raise DataError(
                f"{error}. Without the test part, DATASETS.OPTIONS.chexpert.splits three takes the validation part for "
                "test and draws another one from the training patients"
            ) from None

    def _rows(
        self, part: str, classes: tuple[str, ...], every_view: bool = False
    ) -> Iterator[tuple[int, str, list[str]]]:
        """Line, image id and label texts of the rows whose view is asked for."""
        path = self._table(part)
        wanted = {_PATH: (_PATH,), _VIEW: (_VIEW,), **{name: (name,) for name in classes}}
        frontal = self.options["views"] == "frontal" and not every_view
        for line, (name, view, *texts) in Columns(path, wanted, optional=(_VIEW,)):
            key = "/".join(name.replace("\\", "/").split("/")[-3:])
            if key.count("/") != 2 or not key.startswith("patient"):
                raise DataError(f"{path}, line {line}: {name!r} is not a path .../patient00001/study1/view.jpg")
            # The test table has no view column; the file's name says it, too.
            if not frontal or (view or key).lower().find("lateral") < 0:
                yield line, key, texts

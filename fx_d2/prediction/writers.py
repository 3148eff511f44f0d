"""Files of predictions: one JSON, two CSV, and COCO JSON for each box and mask unit.

All are written beside their final names and renamed when they are complete.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from ..files import safe_cell
from ..modeling.heads.contract import UnitClasses
from ..schedule import Unit
from .organs import find_organs

FORMAT = "fx_d2 predictions"
VERSION = 1
_PART = ".part"

# file name, error
Failure = tuple[str, str]


class PredictionWriter:
    """Writes the files of a run image by image; use it in a ``with`` statement.

    ``predictions.json``: ``format``, ``version``, what ``about`` holds, ``units``, ``images``, ``failed``.
    ``predictions.csv``: one row a score, box or mask. ``findings.csv``: one row an image and finding.
    ``cardiothoracic.csv``: one row an image and mask unit with heart and lungs, where there is such a unit.
    ``coco/{dataset}_{task}.json``: a COCO data set whose annotations have a ``score``.

    Args:
        folder: is made where it is missing.
        classes: of the predicted units. about: further entries of ``predictions.json``; its ``notice``, if it has one,
            also stands in a column of the CSV files and in the description of the COCO files.
    """

    def __init__(self, folder: Path, classes: Mapping[Unit, UnitClasses], about: Mapping) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        notice = about.get("notice", "")
        self._files: list[_File] = [
            _JsonFile(folder / "predictions.json", classes, about),
            _CsvFile(folder / "predictions.csv", _SCORE_COLUMNS, _score_rows, notice),
            _CsvFile(folder / "findings.csv", _FINDING_COLUMNS, _finding_rows, notice),
            *(_CocoFile(folder, unit, its, notice) for unit, its in classes.items() if unit.task != "cls"),
        ]
        if find_organs(classes):
            self._files.append(_CsvFile(folder / "cardiothoracic.csv", _RATIO_COLUMNS, _ratio_rows, notice))
        self.failed: list[Failure] = []

    def __enter__(self) -> PredictionWriter:
        return self

    def add(self, record: dict) -> None:
        """Writes one image, given as :func:`fx_d2.prediction.records.image_record` makes it.

        Raises:
            OSError: the disk is full, for instance; of an image that does not get into a file nothing stays there.
        """
        for file in self._files:
            file.add(record)

    def fail(self, name: str, error: str) -> None:
        """Notes an image that could not be predicted."""
        self.failed.append((name, error))

    def __exit__(self, *exception) -> None:
        # Also after an interruption: what was predicted is kept, and one file that fails does not take the others.
        with contextlib.ExitStack() as stack:
            for file in reversed(self._files):
                stack.callback(file.close, self.failed)


class _File(Protocol):
    def add(self, record: dict) -> None: ...

    def close(self, failed: Sequence[Failure]) -> None: ...


class _Growing:
    """A text file that grows by whole entries: after one that fails, on a full disk, it is as before."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.with_name(path.name + _PART).open("wb", buffering=0)

    def append(self, text: str) -> None:
        # Bytes of a file name that are no text become \\udcXX: in JSON the escape that gives the name back.
        rest, start = memoryview(text.encode("utf-8", "backslashreplace")), self._file.tell()
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self._file.seek(start)
            self._file.truncate()
            raise OSError(error.errno, error.strerror, str(self.path)) from error

    def finish(self) -> None:
        self._file.close()
        Path(self._file.name).replace(self.path)


class _JsonFile:
    def __init__(self, path: Path, classes: Mapping[Unit, UnitClasses], about: Mapping) -> None:
        self.file, self.first = _Growing(path), True
        units = {
            str(unit): {
                "dataset": unit.dataset,
                "task": unit.task,
                "classes": list(its.names),
                "exclusive": its.exclusive,
            }
            for unit, its in classes.items()
        }
        head = {"format": FORMAT, "version": VERSION, **about, "units": units}
        lines = [f" {_dump(key)}: {_dump(value)}" for key, value in head.items()]
        self.file.append("{\n" + ",\n".join(lines) + ',\n "images": [')

    def add(self, record: dict) -> None:
        self.file.append(("\n  " if self.first else ",\n  ") + _dump(record))
        self.first = False

    def close(self, failed: Sequence[Failure]) -> None:
        rows = [{"file_name": name, "error": error} for name, error in failed]
        self.file.append(f'\n ],\n "failed": {_dump(rows)}\n}}\n')
        self.file.finish()


_SCORE_COLUMNS = ("file_name", "dataset", "task", "class", "score", "x", "y", "width", "height", "area", "called")
_FINDING_COLUMNS = ["file_name", "finding", "mean", "spread", "min", "max", "count", "heads", "boxes", "masks"]
_FINDING_COLUMNS += ["called", "calls"]
_RATIO_COLUMNS = ("file_name", "dataset", "ratio", "heart", "thorax", "heart_mm", "thorax_mm", "flags")


def _score_rows(record: dict) -> list[tuple]:
    name = record["file_name"]
    rows = []
    for unit, scores in record["scores"].items():
        dataset, _, task = unit.partition("/")
        calls = record["calls"].get(unit, {})
        for label, score in scores.items():
            rows.append((name, dataset, task, label, score, "", "", "", "", "", _or_blank(calls.get(label))))
    for kind in ("boxes", "masks"):
        for entry in record[kind]:
            dataset, _, task = entry["unit"].partition("/")
            place = (*entry["bbox"], entry.get("area", ""))
            rows.append((name, dataset, task, entry["class"], entry["score"], *place, ""))
    return rows


def _finding_rows(record: dict) -> list[tuple]:
    rows = []
    for entry in record["findings"]:
        values = [entry[key] for key in _FINDING_COLUMNS[1:]]
        cells = [_list(value) if isinstance(value, dict) else _or_blank(value) for value in values]
        rows.append((record["file_name"], *cells))
    return rows


def _ratio_rows(record: dict) -> list[tuple]:
    rows = []
    for entry in record["cardiothoracic"]:
        lines = [entry["heart"] or {}, entry["thorax"] or {}]
        values = [entry["ratio"], *(line.get(key) for key in ("pixels", "mm") for line in lines)]
        flags = " ".join(entry["flags"])
        rows.append((record["file_name"], entry["dataset"], *map(_or_blank, values), flags))
    return rows


def _or_blank(value) -> str | float | int:
    """A cell of a table: blank for None, 1 or 0 for true or false."""
    return "" if value is None else int(value) if isinstance(value, bool) else value


def _list(values: Mapping[str, float]) -> str:
    return "; ".join(f"{unit}={value:g}" for unit, value in values.items())


class _CsvFile:
    def __init__(
        self, path: Path, columns: Sequence[str], rows: Callable[[dict], list[tuple]], notice: str = ""
    ) -> None:
        self.file, self.rows, self.last = _Growing(path), rows, (notice,) if notice else ()
        self._append([(*columns, "notice") if notice else columns])

    def add(self, record: dict) -> None:
        self._append([(*row, *self.last) for row in self.rows(record)])

    def _append(self, rows: Iterable[Sequence]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(map(safe_cell, row) for row in rows)
        self.file.append(text.getvalue())

    def close(self, failed: Sequence[Failure]) -> None:
        self.file.finish()


class _CocoFile:
    """Category ids count from 1 in the order of the classes, image ids in the order of prediction."""

    def __init__(self, folder: Path, unit: Unit, classes: UnitClasses, notice: str = "") -> None:
        self.path, self.unit = folder / "coco" / f"{unit.dataset}_{unit.task}.json", str(unit)
        self.kind = "boxes" if unit.task == "box" else "masks"
        self.description = ". ".join(filter(None, (f"{FORMAT}, {unit}", notice)))
        self.categories = {name: number for number, name in enumerate(classes.names, start=1)}
        self.images: list[dict] = []
        self.annotations: list[dict] = []

    def add(self, record: dict) -> None:
        number = len(self.images) + 1
        self.images.append({"id": number, **{key: record[key] for key in ("file_name", "height", "width")}})
        for entry in (entry for entry in record[self.kind] if entry["unit"] == self.unit):
            width, height = entry["bbox"][2:]
            annotation = {
                "id": len(self.annotations) + 1,
                "image_id": number,
                "category_id": self.categories[entry["class"]],
                "bbox": entry["bbox"],
                "area": entry.get("area", round(width * height, 2)),
                "iscrowd": 0,
                "score": entry["score"],
            }
            if "segmentation" in entry:
                annotation["segmentation"] = entry["segmentation"]
            self.annotations.append(annotation)

    def close(self, failed: Sequence[Failure]) -> None:
        self.path.parent.mkdir(exist_ok=True)
        categories = [{"id": number, "name": name} for name, number in self.categories.items()]
        data = {
            "info": {"description": self.description},
            "images": self.images,
            "categories": categories,
            "annotations": self.annotations,
        }
        file = _Growing(self.path)
        file.append(_dump(data) + "\n")
        file.finish()


def _dump(value) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)

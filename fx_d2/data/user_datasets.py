"""A user's own dataset from a YAML file, without code; ``datasets/README.md`` describes the file."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from ..schedule import TASKS
from .errors import DataError, count, nearest
from .readers.image_index import ImageIndex
from .records import DatasetRecord, ReadReport
from .splits import group_by_patient, read_patients, split_by_fraction, split_by_lists
from .user_tasks import TASK_KEYS, parse_reader, task_record
from .yaml_section import Section, read_section

logger = logging.getLogger(__name__)

_REQUIRED = ("images", "splits", "tasks")


def load_user_datasets(path: Path, faults: dict[str, DataError] | None = None) -> dict[str, DatasetRecord]:
    """The records of the datasets that a YAML file declares.

    Class names that the file leaves to the annotation files are read now, all else at ``record.read(task, split)``.

    Args:
        faults: gets the mistake of each dataset that is wrong, and the others are returned; None: the first is raised.

    Raises:
        DataError: the file is missing or wrong; the message names the key.
    """
    datasets = read_section(path, "datasets")
    records = {}
    for name in datasets.values:
        try:
            section = datasets.child(name, (*_REQUIRED, "patients", "notes"), _REQUIRED)
            records[name] = UserDataset(name, section).record
        except DataError as error:
            if faults is None:
                raise
            faults[name] = error
    return records


class UserDataset:
    """One declared dataset; each of its files is read at most once, when something of it is first needed."""

    def __init__(self, name: str, section: Section) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
            raise DataError(f"{section.place}: a dataset's name has letters, digits, _ and - only")
        self.name = name
        self._place = section.place
        self._images = section.path("images", folder=True)
        self._patients: tuple[Path, str, str] | None = None
        if "patients" in section:
            keys = ("file", "image", "patient")
            patients = section.child("patients", keys, keys)
            self._patients = (patients.path("file"), patients.text("image"), patients.text("patient"))
        self._fractions, self._lists, self._seed = _parse_splits(section.child("splits", None))
        tasks = section.child("tasks", TASKS)
        sections = {task: tasks.child(task, TASK_KEYS[task]) for task in TASKS if task in tasks}
        self._readers = {task: parse_reader(task, sections[task]) for task in sections}
        self._records: dict[str, list[dict]] = {}
        self.record = DatasetRecord(
            name=name,
            tasks={task: task_record(self._readers[task], sections[task]) for task in sections},
            splits=tuple(self._fractions or self._lists),
            read=self.read,
            report=self.report,
            source=str(section.file),
            notes=section.text("notes", ""),
            digest=self._digest(section.values),
        )

    def _digest(self, values: Mapping[str, Any]) -> str:
        """Changes with the declaration and with the files that it names (not with the images)."""
        files = [file for reader in self._readers.values() for file in reader.files] + list(self._lists.values())
        files += [self._patients[0]] if self._patients else []
        stamps = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        text = json.dumps([self.name, values, stamps], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    def read(self, task: str, split: str) -> list[dict]:
        """The dataset dicts of one split, sorted by image id.

        The first call for a task checks everything about it: every row, every annotation, the header of every image.

        Raises:
            DataError: something is wrong with the data, or the split holds no image of this task.
        """
        for kind, value, valid in (("task", task, self.record.tasks), ("split", split, self.record.splits)):
            if value not in valid:
                raise DataError(f"{self._place}: no {kind} {value!r}; {nearest(value, valid, kind + 's')}")
        if task not in self._records:
            self._records[task] = self._read_task(task)
        records = [dict(record) for record in self._records[task] if self._split_of[record["image_id"]] == split]
        if not records:
            raise DataError(
                f"{self._place}: split {split!r} is empty for task {task}: none of its "
                f"{count(len(self._records[task]), 'annotated image')} is in it; change seed, shares or lists of splits"
            )
        return records

    def report(self, task: str, split: str) -> ReadReport:
        """What the reading met. A name without a file is an error here, so all listed images are found and used."""
        records = self.read(task, split)
        reader, total = self._readers[task], len(records)
        events = dict(getattr(reader, "events", {}))
        report = ReadReport(
            f"{self.name}/{task}", split, list(map(str, reader.files)), total, total, total, events=events
        )
        for record in records:
            for remark in self._index.remarks.get(record["image_id"], ()):
                report.note(remark, record["file_name"])
        return report

    @cached_property
    def _index(self) -> ImageIndex:
        return ImageIndex(self._images)

    @cached_property
    def _patient_of(self) -> dict[str, str]:
        """Patient by image id, as far as a table names one."""
        return read_patients(*self._patients, self._index) if self._patients else {}

    @cached_property
    def _split_of(self) -> dict[str, str]:
        """Split by image id, over all images of the dataset, so that its tasks share the split."""
        index, patients = self._index, self._patient_of
        if self._lists:
            splits = split_by_lists(self._lists, index, patients)
        else:
            splits = split_by_fraction(index.ids, patients, self._fractions, self._seed)
        total = f"{count(len(splits), 'image')} of {count(len(group_by_patient(splits, patients)), 'patient')}"
        for split in self.record.splits:
            if split not in splits.values():
                raise DataError(
                    f"{self._place}.splits: split {split!r} is empty ({total}); raise its fraction, or give list files"
                )
        without = len(index) - len(patients)
        if self._patients and without:
            logger.info("%s: %s without a patient, each a patient of its own", self.name, count(without, "image"))
        logger.info("%s: %s: %s", self.name, total, self._sizes(splits.values()))
        return splits

    def _sizes(self, splits: Iterable[str]) -> str:
        sizes = Counter(splits)
        return ", ".join(f"{split} {sizes[split]}" for split in self.record.splits)

    def _read_task(self, task: str) -> list[dict]:
        index, splits, patients = self._index, self._split_of, self._patient_of
        fields = self._readers[task].read(index)
        image_ids = [image_id for image_id in sorted(fields) if image_id in splits]
        index.read_sizes(image_ids)
        records = []
        for image_id in image_ids:
            height, width = index.size(image_id)
            record = {"file_name": index.path(image_id), "image_id": image_id, "height": height, "width": width}
            record |= {"unit": f"{self.name}/{task}", **fields[image_id]}
            if image_id in patients:
                record["patient_id"] = patients[image_id]
            records.append(record)
        sizes = self._sizes(splits[image_id] for image_id in image_ids)
        logger.info("%s/%s: %s: %s", self.name, task, count(len(records), "annotated image"), sizes)
        return records


def _parse_splits(section: Section) -> tuple[dict[str, float], dict[str, Path], int]:
    """Fractions, list files (one of the two is empty) and the seed."""
    values = {key: value for key, value in section.values.items() if key != "seed"}
    for name in values:
        if not re.fullmatch(r"[A-Za-z0-9]+", name):
            raise section.error(name, "a split's name has letters and digits only")
    if values and all(isinstance(value, str) for value in values.values()):
        if "seed" in section:
            raise section.error("seed", "list files leave nothing to draw; take the seed out")
        return {}, {name: section.path(name) for name in values}, 0
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
            raise section.error(name, f"a share above 0 and at most 1, or a list file for every split, not {value!r}")
    total = sum(values.values())
    if abs(total - 1) > 1e-6:
        raise DataError(f"{section.place}: the shares add up to {total:g}, not 1")
    seed = section.values.get("seed", 0)
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise section.error("seed", f"a whole number, 0 or more, is needed, not {seed!r}")
    return {name: float(value) for name, value in values.items()}, {}, seed

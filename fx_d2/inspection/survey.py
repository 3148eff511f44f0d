"""Reads every selected dataset and split; what cannot be read becomes a problem and the rest goes on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from detectron2.data import DatasetCatalog
from tqdm import tqdm

from ..config import split_name, unit_metadata
from ..data.catalog import register_datasets
from ..data.errors import DataError
from ..data.records import DatasetRecord
from ..schedule import Unit
from .problems import Problem, merge, problem_of

ROLES = ("train", "val", "test")


@dataclass(frozen=True)
class TaskData:
    """The records of one unit's split.

    Attributes:
        classes: class names of the unit.
        exclusive: exactly one class holds for an image.
        records: the dataset dicts.
        listed, found: images that the annotation files name, and those of them that are there; None where the reader
            does not say.
        remarks: what the reader met and went on from, in words.
    """

    classes: tuple[str, ...]
    exclusive: bool
    records: list[dict]
    listed: int | None = None
    found: int | None = None
    remarks: tuple[str, ...] = ()


@dataclass
class SplitData:
    """One split of a dataset over all its selected tasks.

    Attributes:
        images: the first record of every image, by image id.
        tasks: by task name.
    """

    dataset: str
    split: str
    images: dict[str, dict] = field(default_factory=dict)
    tasks: dict[str, TaskData] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.dataset} {self.split}"


def role(split: str) -> int:
    """Order of splits: what trains, what chooses, what is scored, others."""
    return ROLES.index(split) if split in ROLES else len(ROLES)


def register_each(
    files: Sequence[str | Path], options: Mapping[str, Any] | None = None
) -> tuple[dict[str, DatasetRecord], list[Problem]]:
    """Registers the built-in datasets and those of YAML files; a file or a dataset with a mistake becomes a problem.

    Args:
        files: as in the key ``DATASETS.FILES``.
        options: as in the key ``DATASETS.OPTIONS``.

    Returns:
        Every registered dataset by name, and the problems.

    Raises:
        DataError: an option is wrong.
    """
    problems, catalog = [], register_datasets((), options)
    for file in files:
        faults: dict[str, DataError] = {}
        try:
            catalog = register_datasets([file], faults=faults)
        except ValueError as error:
            problems.append(problem_of(error, str(file)))
        problems += [problem_of(error, name) for name, error in faults.items()]
    return catalog, problems


def read_splits(
    units: Iterable[Unit], catalog: Mapping[str, DatasetRecord], progress: bool = False
) -> tuple[list[SplitData], list[Problem]]:
    """Reads all splits of the units.

    Returns:
        A :class:`SplitData` for each dataset and split of which a task could be read, in the order of the units, and
        what could not be read; one entry where several splits or tasks of a dataset fail for one reason.
    """
    surveyed: dict[tuple[str, str], SplitData] = {}
    problems: list[Problem] = []
    jobs = []
    for unit in units:
        try:
            jobs += [(unit, split) for split in sorted(unit_metadata(unit).splits, key=role)]
        except ValueError as error:
            problems.append(problem_of(error, unit.dataset, unit.task))
    for unit, split in tqdm(jobs, desc="reading annotations", unit="split", disable=not progress, leave=False):
        try:
            task = _read(unit, split, catalog)
        except Exception as error:  # whatever a reader raises concerns its dataset alone; the others are still checked
            problems.append(problem_of(error, unit.dataset, unit.task, split))
            continue
        data = surveyed.setdefault((unit.dataset, split), SplitData(unit.dataset, split))
        data.tasks[unit.task] = task
        for record in task.records:
            data.images.setdefault(str(record["image_id"]), record)
    return list(surveyed.values()), merge(problems)


def _read(unit: Unit, split: str, catalog: Mapping[str, DatasetRecord]) -> TaskData:
    metadata = unit_metadata(unit)
    records = DatasetCatalog.get(split_name(unit, split))
    data = TaskData(tuple(metadata.thing_classes), bool(metadata.exclusive), records)
    if unit.dataset not in catalog:  # registered by other code, which reports nothing
        return data
    report = catalog[unit.dataset].report(unit.task, split)
    return replace(data, listed=report.listed, found=report.found, remarks=tuple(report.lines()[1:]))

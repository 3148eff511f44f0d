"""The catalog: built-in and declared datasets, registered in Detectron2 as ``{dataset}_{task}_{split}``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from detectron2.data import DatasetCatalog, MetadataCatalog

from ..config import split_name
from ..schedule import Unit
from .builtin import SOURCE, builtin_records
from .coco_truth import truth_file
from .errors import DataError
from .readers.tree import data_root
from .records import DatasetRecord
from .user_datasets import load_user_datasets

_registered: dict[str, DatasetRecord] = {}


def register_datasets(
    files: Sequence[str | Path] = (),
    options: Mapping[str, Mapping[str, str | float]] | None = None,
    faults: dict[str, DataError] | None = None,
) -> dict[str, DatasetRecord]:
    """Registers the built-in datasets and those of YAML files, and returns all by name; reads no image.

    Each unit gets Detectron2 metadata: ``thing_classes``, ``exclusive``, ``lateral_pairs`` (pairs of class names),
    ``flip`` (False: a horizontal flip would make labels wrong), ``unit``, ``splits``, ``source``; masks ``json_file``,
    the truth as ``COCOEvaluator`` reads it (:mod:`.coco_truth`). Registering the same again changes nothing. A file
    that has changed replaces what it declared before; a file that declares a built-in name replaces the built-in
    entry. Either all files are registered or none.

    Args:
        files: YAML files; a relative path is looked up in the working folder, then below :func:`data_root`.
        options: how built-in datasets are read (``DATASETS.OPTIONS``); None leaves what is registered as it is.
        faults: gets the mistake of each declared dataset that is wrong, and the others are registered; None: the first
            mistake is raised and nothing is registered.

    Raises:
        DataError: a file is missing or wrong, two files declare one name, or an option has no such value.
    """
    declared: dict[str, DatasetRecord] = {}
    for path in dict.fromkeys(_find(file) for file in files):
        for name, record in load_user_datasets(path, faults).items():
            other = declared.get(name) or _registered.get(name)
            # A declaration whose file is gone does not count.
            if other and other.source not in (SOURCE, record.source) and Path(other.source).is_file():
                raise DataError(
                    f"dataset {name!r} is declared twice, in {other.source} and in {record.source}; rename one of them"
                )
            declared[name] = record
    for name, record in {**builtin_records(options or {}), **declared}.items():
        current = _registered.get(name)
        # A built-in entry never replaces a declaration, and another built-in entry only if options are given.
        if current and name not in declared and (options is None or current.source != SOURCE):
            continue
        if current is None or (current.source, current.digest) != (record.source, record.digest):
            _remove(name)
            _add(record)
    return dict(_registered)


def clear_datasets() -> None:
    """Undoes every registration of :func:`register_datasets`; for tests and notebooks."""
    for name in list(_registered):
        _remove(name)


def _find(file: str | Path) -> Path:
    path = Path(file).expanduser()
    candidates = [path] if path.is_absolute() else [path, data_root() / path]
    for candidate in candidates:
        if candidate.is_file():
            return candidate.resolve()
    tried = " and ".join(str(candidate.absolute()) for candidate in candidates)
    raise DataError(f"dataset file {str(file)!r} (key DATASETS.FILES) is not there; looked for {tried}")


def _add(record: DatasetRecord) -> None:
    for task, details in record.tasks.items():
        unit = Unit(record.name, task)
        for split in record.splits:
            name = split_name(unit, split)
            if name in DatasetCatalog:
                raise DataError(
                    f"{name} of {record.source} is registered in DatasetCatalog by other code; rename the dataset"
                )
            DatasetCatalog.register(name, partial(record.read, task, split))
            MetadataCatalog.get(name).set(
                thing_classes=list(details.classes),
                exclusive=details.exclusive,
                lateral_pairs=list(details.lateral_pairs),
                flip=details.flip,
                unit=str(unit),
                splits=list(record.splits),
                source=record.source,
            )
            if task == "mask":
                MetadataCatalog.get(name).set(json_file=truth_file(name))
    _registered[record.name] = record


def _remove(name: str) -> None:
    if record := _registered.pop(name, None):
        for task in record.tasks:
            for split in record.splits:
                key = split_name(Unit(name, task), split)
                DatasetCatalog.pop(key, None)
                MetadataCatalog.pop(key, None)

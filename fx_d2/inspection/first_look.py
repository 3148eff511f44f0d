"""Looks at a folder of images without any declaration, and drafts the YAML file that declares it."""

from __future__ import annotations

import os
import re
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..config.dataset_options import DATASET_OPTIONS
from ..data.errors import DataError, count
from ..data.images import read_header
from ..data.readers.image_index import ImageIndex
from ..data.user_datasets import load_user_datasets
from ..schedule import TASKS
from .guessed import Guess
from .guesses import find_sources, guess

# Headers that are read, spread evenly.
_HEADERS = 1000
# Tried in this order until no split is empty.
_SPLITS: tuple[dict[str, float], ...] = (
    {"train": 0.7, "val": 0.1, "test": 0.2},
    {"train": 0.5, "val": 0.25, "test": 0.25},
    {"train": 0.5, "test": 0.5},
    {"train": 1.0},
)
_FORMS = """\
  #   cls:  {file: labels.csv, image: image}                      a column of 1, 0 and blanks for each finding
  #   cls:  {file: labels.csv, image: image, findings: Findings}  one column that lists them: Mass|Nodule
  #   box:  {file: boxes.json}                                    COCO; or {yolo: labels}, {voc: annotations}
  #   mask: {folders: {Heart: masks/heart}, suffix: _mask}        pictures, or a COCO file as for box
  #   mask: {folder: maps, labels: {1: Left Lung, 2: Right Lung}} a picture of numbers per image
"""


@dataclass(frozen=True)
class FirstLook:
    """What was found.

    Attributes:
        name: of the dataset.
        lines: for people.
        tasks: those that the draft declares; each reads without an error.
        text: of the YAML file.
    """

    name: str
    lines: list[str]
    tasks: tuple[str, ...]
    text: str


def look(images: Path, labels: Path | None, target: Path) -> FirstLook:
    """Looks at images, and at the annotations named or found beside them.

    Args:
        images: a folder.
        labels: a table, a COCO file, or a folder of YOLO labels, Pascal VOC files or masks; None: what is in the
            folder and beside it.
        target: where the YAML file will be; its paths are relative to that folder where they lie below it.

    Raises:
        DataError: there is no image, or ``labels`` is nothing that is read.
    """
    images = images.resolve()
    index = ImageIndex(images)
    lines = _describe_images(index)
    found = Guess()
    for source in [labels.resolve()] if labels else find_sources(images):
        try:
            one = guess(source, index)
        except DataError as error:
            if labels:
                raise
            lines.append(str(error))
            continue
        lines += [f"{source}: {remark}" for remark in one.remarks]
        lines += [
            f"{task}: the draft has the first that fits, not {source}" for task in one.tasks if task in found.tasks
        ]
        found.patients = found.patients or one.patients
        found.tasks = {**one.tasks, **found.tasks}
    name = _dataset_name(images)
    declaration: dict[str, Any] = {"images": images}
    if found.patients:
        declaration["patients"] = found.patients
    declaration |= {"splits": _SPLITS[0], "tasks": {}}
    for task, options in sorted(found.tasks.items(), key=lambda item: TASKS.index(item[0])):
        tried = _add_task(name, declaration, task, options)
        if isinstance(tried, str):
            lines.append(f"{task}: left out: {tried}")
        else:
            declaration = tried
    return FirstLook(name, lines, tuple(declaration["tasks"]), _text(name, declaration, target.resolve().parent))


def _describe_images(index: ImageIndex) -> list[str]:
    kinds: Counter[str] = Counter()
    sizes, bad, remarks = [], [], Counter[str]()
    chosen = index.ids[:: max(1, len(index) // _HEADERS)]
    for image_id in chosen:
        try:
            header = read_header(index.path(image_id))
        except DataError as error:
            bad.append(str(error))
            continue
        kinds[f"{header.kind} of {header.bits} bits"] += 1
        sizes.append((header.width, header.height))
        remarks.update(header.remarks)
    lines = [f"{index.root}: {count(len(index), 'image')}"]
    if len(chosen) < len(index):
        lines.append(f"looked at {len(chosen)} of them:")
    lines.append(", ".join(f"{number} {kind}" for kind, number in kinds.most_common()) or "none can be read")
    if sizes:
        lines.append("from {} x {} to {} x {} pixels (width x height)".format(*min(sizes), *max(sizes)))
    lines += [f"{number} {remark}" for remark, number in remarks.items()]
    if bad:
        lines.append(f"{len(bad)} cannot be read, the first: {bad[0]}")
    return lines


def _add_task(name: str, declaration: Mapping[str, Any], task: str, options: dict[str, Any]) -> dict[str, Any] | str:
    """The declaration with one more task, and the first splits of which none is empty; or why it cannot be read."""
    reason = ""
    extras: tuple[dict[str, Any], ...] = ({}, {"lateral_pairs": []})
    for extra in extras:
        for splits in _SPLITS[_SPLITS.index(declaration["splits"]) :]:
            tasks = {**declaration["tasks"], task: options | extra}
            tried = {**declaration, "splits": splits, "tasks": tasks}
            reason = _fault(name, tried)
            if not reason:
                return tried
            if "is empty" not in reason:
                break
        if "lateral_pairs" not in reason:
            break
    return reason


def _fault(name: str, declaration: Mapping[str, Any]) -> str:
    """The first error of reading all that is declared; empty where there is none."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "draft.yaml"
        path.write_text(_dump(name, declaration, Path(folder)), encoding="utf-8")
        try:
            record = load_user_datasets(path)[name]
            for task in record.tasks:
                for split in record.splits:
                    record.read(task, split)
        except DataError as error:
            return str(error).removeprefix(f"{path}: ")
    return ""


def _text(name: str, declaration: Mapping[str, Any], folder: Path) -> str:
    head = "# A first draft by fx-d2 check-data --images; look at every line. The keys: datasets/README.md\n"
    if declaration["tasks"]:
        return head + _dump(name, declaration, folder)
    rest = {key: value for key, value in declaration.items() if key != "tasks"}
    return (
        head + _dump(name, rest, folder) + "  # tasks are missing: add those that there are annotations for\n" + _FORMS
    )


def _dump(name: str, declaration: Mapping[str, Any], folder: Path) -> str:
    def plain(value: Any) -> Any:
        if isinstance(value, Path):
            return value.relative_to(folder).as_posix() if value.is_relative_to(folder) else str(value)
        if isinstance(value, Mapping):
            return {key: plain(item) for key, item in value.items()}
        return list(value) if isinstance(value, tuple) else value

    return yaml.safe_dump({"datasets": {name: plain(declaration)}}, sort_keys=False, allow_unicode=True, width=120)


def _dataset_name(images: Path) -> str:
    """From the folder's name, or the one above where that says nothing."""
    for folder in (images, images.parent):
        name = re.sub(r"[^A-Za-z0-9_-]+", "_", os.fsdecode(folder.name)).strip("_-").casefold()
        if name and name not in ("images", "image", "img", "imgs", "png", "jpg", "dicom", "data", "train", "test"):
            return f"my_{name}" if name in DATASET_OPTIONS else name  # not to replace a built-in one
    return "mydata"

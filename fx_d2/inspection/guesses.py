"""What a file or folder of annotations could be, by looking into it: the tasks of a user's YAML that it would fit."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ..data.errors import DataError, count
from ..data.images import read_label_map
from ..data.listing import without_ending
from ..data.readers.coco import CocoFile
from ..data.readers.csv_labels import CsvLabels
from ..data.readers.image_index import ImageIndex
from ..data.readers.tables import Table, read_table

TABLES, _COCO = (".csv", ".csv.gz"), ".json"
# Pictures of a folder of masks that are looked into, and numbers that a label map may hold.
_LOOKED_AT, _MOST_LABELS = 20, 64


@dataclass
class Guess:
    """What a source could be.

    Attributes:
        tasks: options by task, as a user's YAML has them, with paths.
        patients: the key ``patients`` of that YAML; empty: nobody says whose the images are.
        remarks: for people, a line each.
    """

    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    patients: dict[str, Any] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


def find_sources(images: Path) -> list[Path]:
    """Tables and JSON files in a folder, beside it and in its neighbours; and neighbours that hold PNG files."""
    folders = [path for path in sorted(images.parent.iterdir()) if path.is_dir() and path != images]
    places = (images, images.parent, *folders)
    files = [path for place in places for path in sorted(place.iterdir()) if path.name.endswith((*TABLES, _COCO))]
    return files + [path for path in folders if next(path.rglob("*.png"), None)]


def guess(source: Path, index: ImageIndex) -> Guess:
    """What a table, a COCO file or a folder of PNG masks could be.

    Raises:
        DataError: it is none of them, is damaged, or fits no image.
    """
    if source.is_dir():
        return _guess_folder(source, index)
    if source.name.endswith(TABLES):
        return _guess_table(source, index)
    if source.name.endswith(_COCO):
        return _guess_coco(source)
    raise DataError(f"{source}: a table (.csv), a COCO file (.json) or a folder of PNG masks can be read")


def _guess_table(path: Path, index: ImageIndex) -> Guess:
    table, found = read_table(path), Guess()
    named = {name: _fitting(table, number, index) for number, name in enumerate(table.columns) if name}
    image = max(named, key=lambda name: named[name], default="")
    if not image or not named[image]:
        raise DataError(f"{path}: no column names images of this folder; the first is {index.ids[0]!r} there")
    found.remarks.append(f"column {image!r} names the images ({named[image]} of {count(len(table.rows), 'row')} fit)")
    patient = next((name for name in named if name != image and _is_patient(name)), None)
    if patient:
        found.patients = {"file": path, "image": image, "patient": patient}
        found.remarks.append(f"column {patient!r} says whose they are: a patient stays in one split")
    try:
        labels = [name for name in CsvLabels(path, image).classes if name != patient]
    except DataError as error:
        labels = []
        found.remarks.append(str(error).removeprefix(f"{path}: "))
    if labels:
        found.tasks["cls"] = {"file": path, "image": image, "classes": labels}
        found.remarks.append(f"findings: {', '.join(labels)}")
    return found


def _fitting(table: Table, column: int, index: ImageIndex) -> int:
    return sum(len(index.match(row[column])) == 1 for _, row in table.rows)


def _is_patient(name: str) -> bool:
    folded = name.casefold()
    return ("patient" in folded or "subject" in folded) and not any(word in folded for word in ("age", "sex", "gender"))


def _guess_coco(path: Path) -> Guess:
    file = CocoFile(path, "box")
    entries, classes = file.content["annotations"], ", ".join(file.classes)
    found = Guess()
    for task, key in (("box", "bbox"), ("mask", "segmentation")):
        number = sum(bool(entry.get(key)) for entry in entries)
        if number:
            found.tasks[task] = {"file": path}
            found.remarks.append(f"{number} annotations with {key}: {classes}")
    if not found.tasks:
        raise DataError(f"{path}: no annotation has a bbox or a segmentation")
    return found


def _guess_folder(folder: Path, index: ImageIndex) -> Guess:
    pictures = sorted(folder.glob("*.png"))
    if not pictures:
        classes = {
            path.name: path for path in sorted(folder.iterdir()) if path.is_dir() and next(path.glob("*.png"), None)
        }
        if not classes:
            raise DataError(f"{folder}: no PNG file here or one folder below")
        suffix = _suffix([path for child in classes.values() for path in child.glob("*.png")], index)
        return Guess(
            {"mask": {"folders": classes, "suffix": suffix}}, {}, [f"a folder of masks each: {', '.join(classes)}"]
        )
    suffix, numbers = _suffix(pictures, index), _numbers(pictures)
    if numbers and (len(numbers) > 1 or min(numbers) < 255) and len(numbers) <= _MOST_LABELS and max(numbers) < 255:
        labels = {value: f"Structure {value}" for value in numbers}
        remark = f"label maps with the numbers {', '.join(map(str, numbers))}: give them their names"
        return Guess({"mask": {"folder": folder, "labels": labels, "suffix": suffix}}, {}, [remark])
    return Guess(
        {"mask": {"folders": {folder.name: folder}, "suffix": suffix}}, {}, [f"masks of one class, {folder.name}"]
    )


def _suffix(pictures: list[Path], index: ImageIndex) -> str:
    """What most pictures have behind the name of their image."""
    stems = {PurePosixPath(without_ending(image_id)).name for image_id in index.ids}
    suffixes: Counter[str] = Counter()
    for path in pictures:
        length = next((n for n in range(len(path.stem), 0, -1) if path.stem[:n] in stems), 0)
        if length:
            suffixes[path.stem[length:]] += 1
    if not suffixes:
        raise DataError(f"{pictures[0]}: its name begins with that of no image; the first is {index.ids[0]!r}")
    return suffixes.most_common(1)[0][0]


def _numbers(pictures: list[Path]) -> list[int]:
    """The numbers but 0 that some of the pictures hold; none where they are in colour."""
    found: set[int] = set()
    for path in pictures[:: max(1, len(pictures) // _LOOKED_AT)]:
        try:
            found |= set(np.unique(read_label_map(path)).tolist())
        except DataError:
            return []
    return sorted(found - {0})

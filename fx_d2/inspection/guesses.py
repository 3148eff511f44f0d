"""What a file or folder of annotations could be, by looking into it: the tasks of a user's YAML that it would fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..data.errors import DataError, count
from ..data.images import MASK_SUFFIXES
from ..data.readers.coco import CocoFile
from ..data.readers.csv_labels import CsvLabels
from ..data.readers.findings_column import NONE, SEPARATOR
from ..data.readers.image_index import ImageIndex
from ..data.readers.label_text import is_blank
from ..data.readers.tables import Table, read_table
from .folder_guesses import guess_folder
from .guessed import Guess

TABLES, _COCO = (".csv", ".csv.gz", ".tsv"), ".json"
_LABELS = (".txt", ".xml")
# Findings that a column may list, and letters of a name: more is free text.
_MOST_FINDINGS, _LONGEST = 64, 40


def find_sources(images: Path) -> list[Path]:
    """Tables and JSON files in a folder, beside it and in its neighbours; and folders with labels, XML files or masks.

    Those are its neighbours, ``labels/train`` for ``images/train``, and the folder itself, but for masks.
    """
    folders = [path for path in sorted(images.parent.iterdir()) if path.is_dir() and path != images]
    places = (images, images.parent, *folders)
    files = [path for place in places for path in sorted(place.iterdir()) if path.name.endswith((*TABLES, _COCO))]
    labels = images.parent.parent / "labels" / images.name
    if images.parent.name == "images" and labels.is_dir():
        folders.insert(0, labels)
    found = [path for path in folders if _holds(path, (*_LABELS, *MASK_SUFFIXES))]
    return files + ([images] if _holds(images, _LABELS) else []) + found


def _holds(folder: Path, endings: tuple[str, ...]) -> bool:
    return any(path.suffix.lower() in endings for path in folder.rglob("*"))


def guess(source: Path, index: ImageIndex) -> Guess:
    """What a table, a COCO file, or a folder of YOLO labels, Pascal VOC files or masks could be.

    Raises:
        DataError: it is none of them, is damaged, or fits no image.
    """
    if source.is_dir():
        return guess_folder(source, index)
    if source.name.endswith((*TABLES, ".txt")):
        return _guess_table(source, index)
    if source.name.endswith(_COCO):
        return _guess_coco(source)
    raise DataError(
        f"{source}: a table (.csv, .tsv), a COCO file (.json) or a folder of YOLO labels, Pascal VOC files or masks "
        "can be read"
    )


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
    if table.form:
        found.remarks.append(table.form)
    listed = _listed_findings(table, [name for name in named if name not in (image, patient)])
    if listed:
        found.tasks["cls"] = {"file": path, "image": image, **listed}
        found.remarks.append(f"column {listed['findings']!r} lists findings: {', '.join(listed['classes'])}")
        return found
    try:
        labels = [name for name in CsvLabels(path, image).classes if name != patient]
    except DataError as error:
        labels = []
        found.remarks.append(str(error).removeprefix(f"{path}: "))
    if labels:
        found.tasks["cls"] = {"file": path, "image": image, "classes": labels}
        found.remarks.append(f"findings: {', '.join(labels)}")
    return found


def _listed_findings(table: Table, names: list[str]) -> dict[str, Any]:
    """The options for the first column that lists findings; empty where none does.

    Such a column has a separator, or "No Finding", and few names, of which most come again where it is a semicolon.
    """
    for name in names:
        column = table.columns.index(name)
        texts = [row[column] for _, row in table.rows if not is_blank(row[column])]
        marks = [mark for mark in (SEPARATOR, ";") if any(mark in text for text in texts)]
        for mark in marks or [SEPARATOR] * (NONE in texts):
            parts = [part.strip() for text in texts for part in text.split(mark) if part.strip()]
            classes = sorted(set(parts) - {NONE})
            most = _MOST_FINDINGS if mark == SEPARATOR else min(_MOST_FINDINGS, len(parts) // 2)
            if classes and len(classes) <= most and max(map(len, classes)) <= _LONGEST:
                extra = {} if mark == SEPARATOR else {"separator": mark}
                return {"findings": name, **extra, "classes": classes}
    return {}


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

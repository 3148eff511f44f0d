"""What a folder of annotations could be: YOLO labels, Pascal VOC files, masks of classes, or label maps."""

from __future__ import annotations

from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ..data.errors import DataError, count
from ..data.images import MASK_SUFFIXES, read_label_map
from ..data.listing import without_ending
from ..data.readers.image_index import ImageIndex
from ..data.readers.voc import VocFiles
from ..data.readers.yolo import match_labels, read_rows
from ..data.readers.yolo_names import find_names, read_class_names
from .guessed import Guess

# Pictures of a folder of masks that are looked into, and numbers that a label map or labels without names may hold.
_LOOKED_AT, _MOST_LABELS = 20, 64


def guess_folder(folder: Path, index: ImageIndex) -> Guess:
    """What a folder could be; that of the images themselves holds no masks.

    Raises:
        DataError: it is none of them, is damaged, or fits no image.
    """
    endings = {path.suffix.lower() for path in folder.rglob("*")}
    if ".xml" in endings:
        return _guess_voc(folder, index)
    if ".txt" in endings:
        try:
            return _guess_yolo(folder, index)
        except DataError:
            if folder == index.root or not endings.intersection(MASK_SUFFIXES):
                raise
    return _guess_masks(folder, index)


def _guess_voc(folder: Path, index: ImageIndex) -> Guess:
    reader = VocFiles(folder)
    objects = sum(len(file.objects) for file in reader.content)
    remark = f"Pascal VOC, {count(objects, 'object')} in {count(len(reader.content), 'file')}: "
    without = len(index) - len(reader.match(index))
    remarks = [remark + ", ".join(reader.classes), *_unlabelled(without, "an XML file", "they are not used")]
    return Guess({"box": {"voc": folder}}, {}, remarks)


def _guess_yolo(folder: Path, index: ImageIndex) -> Guess:
    found, file = match_labels(folder, index), find_names(folder)
    numbers = {number for path in found.values() for _, _, number, _ in read_rows(path)}
    options: dict[str, Any] = {"yolo": folder}
    if file:
        names = ", ".join(read_class_names(file).values())
        remarks = [f"YOLO labels of {count(len(found), 'image')}, the classes from {file.name}: {names}"]
    else:
        if max(numbers, default=0) >= _MOST_LABELS:
            raise DataError(f"{folder}: YOLO labels up to class {max(numbers)}, and no data.yaml or classes.txt")
        options["classes"] = [f"Class {number}" for number in range(max(numbers, default=0) + 1)]
        shown = ", ".join(map(str, sorted(numbers))) or "none"
        remarks = [
            f"YOLO labels of {count(len(found), 'image')}, no data.yaml or classes.txt: give the numbers their names "
            f"({shown} occur)"
        ]
    fix = "they are not used, or, with no_file: negative, have no box"
    return Guess({"box": options}, {}, remarks + _unlabelled(len(index) - len(found), "a label file", fix))


def _unlabelled(number: int, what: str, then: str) -> list[str]:
    return [f"{count(number, 'image')} without {what}: {then}"] if number else []


def _guess_masks(folder: Path, index: ImageIndex) -> Guess:
    pictures = _pictures(folder)
    if not pictures:
        classes = {path.name: path for path in sorted(folder.iterdir()) if path.is_dir() and _pictures(path)}
        if not classes:
            raise DataError(
                f"{folder}: no label file (.txt, .xml) and no mask ({', '.join(MASK_SUFFIXES)}) here or one folder "
                "below"
            )
        suffix = _suffix([path for child in classes.values() for path in _pictures(child)], index)
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


def _pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in MASK_SUFFIXES)


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

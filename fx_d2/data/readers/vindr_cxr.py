"""VinDr-CXR: findings and boxes of three readers in training, of a consensus in test; PhysioNet and Kaggle editions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from .. import labels
from ..errors import DataError, nearest
from ..records import ReadReport, TaskRecord
from .boxes import box_annotation, from_corners, numbers
from .columns import Columns, fold
from .fusion import enough, fuse_boxes
from .published import PublishedReader

_IMAGE = ("image_id",)
_READER = ("rad_id", "rad_ID")
_BOX = ("x_min", "y_min", "x_max", "y_max")
_NONE = "No finding"
_VALUES = {"0": 0, "1": 1, "0.0": 0, "1.0": 1}
# What the Kaggle edition folds into one class.
_OTHER = "Other lesion"
# Copies differ in the plural.
_SPELLINGS = {"Other diseases": ("Other diseases", "Other disease")}


class VinDrCxr(PublishedReader):
    """Image id: the 32 hex digits of ``image_id``. No patients are published."""

    folder: ClassVar = ("vindrcxr", "vinbigdata")
    anchors: ClassVar = ("image_labels_train.csv", "annotations_train.csv", "train.csv")
    layout: ClassVar = (
        "train/<image_id>.dicom, test/<image_id>.dicom, "
        "annotations/{annotations,image_labels}_{train,test}.csv; or train.csv of the Kaggle edition (boxes only)"
    )

    def tasks(self) -> dict[str, TaskRecord]:
        every = self.options["classes"] == "all"
        found, boxed = (
            (labels.VINDR_CXR_ALL, labels.VINDR_CXR_LOCAL) if every else (labels.VINDR_CXR, labels.VINDR_CXR_BOX)
        )
        return {
            "cls": TaskRecord(found, notes="training labels are votes of three readers"),
            "box": TaskRecord(boxed, notes="training boxes are three readers' boxes, fused"),
        }

    def parts(self, task: str) -> Mapping[str, Mapping[str, float]]:
        return {"train": {"train": 0.9, "val": 0.1}, "test": {"test": 1.0}}

    def images(self, part: str) -> Mapping[str, str]:
        path = self.tree.look_for(f"image_labels_{part}.csv") or self._box_table(part)
        return {image: "" for _, (image,) in Columns(path, {"image_id": _IMAGE})}

    def folders(self, part: str) -> list[Path]:
        return self.tree.folders(part)

    def truth(self, task: str, part: str, split_of: Mapping[str, str], report: ReadReport) -> dict[str, dict]:
        return self._findings(part, report) if task == "cls" else self._boxes(part, report)

    def _findings(self, part: str, report: ReadReport) -> dict[str, dict]:
        path = self.tree.file(f"image_labels_{part}.csv")
        report.files.append(str(path))
        classes = self.tasks()["cls"].classes
        wanted = {"image_id": _IMAGE, "rad_id": _READER, **{name: _SPELLINGS.get(name, (name,)) for name in classes}}
        votes: dict[str, list[int]] = {}
        readers: dict[str, set[str]] = defaultdict(set)
        for line, (image, reader, *texts) in Columns(path, wanted, optional=("rad_id",)):
            if reader in readers[image]:
                report.note("rows of the same image and reader left out", f"{path}, line {line}: {image} {reader}")
                continue
            readers[image].add(reader)
            try:
                own = [_VALUES[text] for text in texts]
            except KeyError:
                name, text = next((n, t) for n, t in zip(classes, texts, strict=True) if t not in _VALUES)
                raise DataError(f"{path}, line {line}, column {name!r}: {text!r} is neither 0 nor 1") from None
            votes[image] = [a + b for a, b in zip(votes.get(image, [0] * len(classes)), own, strict=True)]
        policy = self.options["votes"]
        return {
            image: {"labels": [float(enough(number, len(readers[image]), policy)) for number in counts]}
            for image, counts in votes.items()
        }

    def _box_table(self, part: str) -> Path:
        return self.tree.file(f"annotations_{part}.csv", *(["train.csv"] if part == "train" else []))

    @cached_property
    def _positions(self) -> dict[str, int]:
        """Position of every local class, folded name; what the fourteen classes leave out is "Other lesion"."""
        classes = self.tasks()["box"].classes
        other = classes.index(_OTHER)
        return {fold(name): classes.index(name) if name in classes else other for name in labels.VINDR_CXR_LOCAL}

    def _boxes(self, part: str, report: ReadReport) -> dict[str, dict]:
        path = self._box_table(part)
        report.files.append(str(path))
        drawn: dict[str, dict[int, list]] = {}
        readers: dict[str, set[str]] = defaultdict(set)
        wanted = {"image_id": _IMAGE, "rad_id": _READER, "class_name": ("class_name",), **{k: (k,) for k in _BOX}}
        for line, (image, reader, name, *box) in Columns(path, wanted, optional=("rad_id",)):
            place = f"{path}, line {line}"
            readers[image].add(reader)
            own = drawn.setdefault(image, defaultdict(list))
            if fold(name) == fold(_NONE) and not any(box):
                continue
            if fold(name) not in self._positions:
                raise DataError(f"{place}: class {name!r}; {nearest(name, labels.VINDR_CXR_LOCAL, 'classes')}")
            corners = numbers(box, place)
            from_corners(corners, place)
            entry = (reader, tuple(corners))
            if entry in own[self._positions[fold(name)]]:
                report.note("boxes that a reader drew twice left out", f"{place}: {image}")
            else:
                own[self._positions[fold(name)]].append(entry)
        return {image: {"annotations": self._annotations(image, own, readers, report)} for image, own in drawn.items()}

    def _annotations(self, image: str, own: Mapping, readers: Mapping, report: ReadReport) -> list[dict]:
        """The boxes of an image; those of several readers fused, and kept if enough of them drew it."""
        annotations = []
        for category, entries in sorted(own.items()):
            names, boxes = [reader for reader, _ in entries], [box for _, box in entries]
            fused = fuse_boxes(boxes, names) if len(readers[image]) > 1 else [(box, 1) for box in boxes]
            for corners, votes in fused:
                if enough(votes, len(readers[image]), self.options["votes"]):
                    annotations.append(box_annotation(from_corners(corners, image), category, None, image, report))
                else:
                    report.note(f"fused boxes that not enough readers drew ({self.options['votes']})", image)
        return [annotation for annotation in annotations if annotation]

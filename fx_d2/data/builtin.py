"""The published datasets: which reader each has, what a user ought to know of it, and what it shares with others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from . import labels
from .errors import DataError, nearest
from .options import DATASET_OPTIONS
from .readers.chestx_det import ChestXDet
from .readers.chexpert import CheXpert
from .readers.nih_cxr14 import NihCxr14
from .readers.published import PublishedReader
from .readers.rsna_pneumonia import RsnaPneumonia
from .records import DatasetRecord, Overlap, TaskRecord

SOURCE = "fx_d2 (built-in)"
_SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Published:
    """One row of the table.

    Attributes:
        name: the dataset's name.
        reader: reads it.
        notes: what a user of the data ought to know, in a line.
        overlaps: the datasets that share images with it.
        images: number of images by split, as published; left out where we draw the split.
    """

    name: str
    reader: type[PublishedReader]
    notes: str
    overlaps: tuple[Overlap, ...] = ()
    images: Mapping[str, int] = field(default_factory=dict)


DATASETS: tuple[Published, ...] = (
    # 223,414 training images of 64,540 patients (14 % lateral), validation 234, test 668 images of 500 patients.
    # Labels by a text labeller: 1, 0, -1 (uncertain), blank (not mentioned); for Atelectasis, Consolidation and
    # Pneumonia -1 is as frequent as 1 or more, so the policy matters. "No Finding" may go with "Support Devices".
    # Research-use agreement, registration.
    Published(
        "chexpert",
        CheXpert,
        "text-mined labels with many uncertain ones; the test labels come with CheXlocalize",
        images={"train": 223_414, "val": 234, "test": 668},
    ),
    # 112,120 PNG images of 30,805 patients, 86,524 for training and validation, 25,596 for test, by patient.
    # Text-mined labels. RSNA, SIIM-ACR, ChestX-Det and part of NODE21 are images of this set: training on one and
    # testing on another leaks. Some files are RGBA. Free use with attribution.
    Published(
        "nih_cxr14",
        NihCxr14,
        "text-mined labels; validation images are drawn from the official training list; all boxed images are in the "
        "official test list",
        (
            Overlap("rsna_pneumonia", "same_image", "21,804 of RSNA's 30,000 in train_val, 8,196 in test", True),
            Overlap("siim_acr", "pixels", "all of SIIM-ACR"),
            Overlap("chestx_det", "pixels", "all of ChestX-Det, renamed"),
            Overlap("node21", "same_image", "part of NODE21"),
        ),
        images={"test": 25_596},
    ),
    # 26,684 labelled DICOM images of 1024 x 1024: Normal 8,851, not normal 11,821, opacity 6,012 with 9,555 boxes.
    # All are ChestX-ray14 images, 8,196 of the 30,000 from its test part; "patientId" is an image id.
    # Competition rules.
    Published(
        "rsna_pneumonia",
        RsnaPneumonia,
        "patientId is an image id: without the organisers' mapping file a patient may be in two splits",
        (
            Overlap("nih_cxr14", "same_image", "all images; 8,196 of 30,000 from its official test list", True),
            Overlap("siim_acr", "pixels", "both are from nih_cxr14"),
            Overlap("chestx_det", "pixels", "both are from nih_cxr14"),
            Overlap("node21", "same_image", "both have images of nih_cxr14"),
        ),
    ),
    # 3,025 training and 553 test PNG images of 1024 x 1024 with 7,905 and 1,734 boxes, a polygon each; images with
    # empty lists are negatives. From ChestX-ray14 under new names. Apache-2.0 on the annotations.
    Published(
        "chestx_det",
        ChestXDet,
        "images of nih_cxr14 under new names, patients unknown",
        (
            Overlap("nih_cxr14", "pixels", "all images, renamed; no public map"),
            Overlap("rsna_pneumonia", "pixels", "both are from nih_cxr14"),
            Overlap("siim_acr", "pixels", "both are from nih_cxr14"),
            Overlap("node21", "pixels", "both have images of nih_cxr14"),
        ),
        images={"test": 553},
    ),
)


class _Pending:
    """A dataset whose reader is not written yet."""

    def __init__(self, name: str, tasks: dict[str, TaskRecord]) -> None:
        self.name, self.tasks = name, tasks

    def read(self, task: str, split: str) -> list[dict]:
        raise DataError(
            f"{self.name}_{task}_{split}: the built-in reader of {self.name} is not there yet. Declare your copy under "
            f"the name {self.name!r} in a YAML file and list it in DATASETS.FILES; it takes the place of the built-in "
            "entry (datasets/README.md shows the form)"
        )

    def record(self) -> DatasetRecord:
        return DatasetRecord(self.name, self.tasks, _SPLITS, self.read, self.read, SOURCE, digest="pending")


_ONE = {name: TaskRecord(classes) for name, classes in (("tb", labels.TUBERCULOSIS), ("n", labels.NODULE))}
_PTX = TaskRecord(labels.PNEUMOTHORAX)
_PENDING = {
    "vindr_cxr": {"cls": TaskRecord(labels.VINDR_CXR)},
    "shenzhen": {"cls": _ONE["tb"]},
    "mimic_cxr": {"cls": TaskRecord(labels.CHEXPERT)},
    "tbx11k": {"cls": _ONE["tb"], "box": _ONE["tb"]},
    "node21": {"cls": _ONE["n"], "box": _ONE["n"]},
    "candid_ptx": {"cls": _PTX, "box": _PTX, "mask": _PTX},
    "siim_acr": {"cls": _PTX, "box": _PTX, "mask": _PTX},
}


def builtin_records(options: Mapping[str, Mapping[str, str]]) -> dict[str, DatasetRecord]:
    """The records of all built-in datasets; nothing is read.

    Args:
        options: by dataset, those of :data:`DATASET_OPTIONS` that differ from their defaults.

    Raises:
        DataError: an unknown dataset or option, or a value that it may not have.
    """
    for name in options:
        if name not in DATASET_OPTIONS:
            raise DataError(f"DATASETS.OPTIONS: no built-in dataset {name!r}; {nearest(name, DATASET_OPTIONS)}")
    records = {entry.name: _record(entry, options.get(entry.name, {})) for entry in DATASETS}
    return records | {name: _Pending(name, tasks).record() for name, tasks in _PENDING.items()}


def _record(entry: Published, chosen: Mapping[str, str]) -> DatasetRecord:
    known = DATASET_OPTIONS[entry.name]
    values = {key: option.default for key, option in known.items()}
    for key, value in chosen.items():
        place = f"DATASETS.OPTIONS.{entry.name}.{key}"
        if key not in known:
            raise DataError(f"{place}: no such option; {nearest(key, known, 'options')}")
        choices = known[key].choices
        if not isinstance(value, type(known[key].default)) or (choices and value not in choices):
            hint = (
                nearest(value, choices, "it may be")
                if choices
                else ("text is needed" if isinstance(known[key].default, str) else "a number such as 0.7 is needed")
            )
            raise DataError(f"{place}: {value!r}; {hint}")
        values[key] = value
    reader = entry.reader(entry.name, values)
    tasks = reader.tasks()
    have = {split for task in tasks for shares in reader.parts(task).values() for split in shares}
    splits = tuple(split for split in _SPLITS if split in have)
    return DatasetRecord(
        name=entry.name,
        tasks=tasks,
        splits=splits,
        read=reader.read,
        report=reader.report,
        source=SOURCE,
        notes=entry.notes,
        digest=json.dumps(values, sort_keys=True),
        overlaps=entry.overlaps,
        # Where the user has the splits drawn anew, the published numbers are of other images.
        published={} if values.get("splits") == "three" else dict(entry.images),
    )

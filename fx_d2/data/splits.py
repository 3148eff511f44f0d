"""Which image belongs to which split: by patient at random but repeatably, or from list files."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from .errors import DataError, count
from .readers.image_index import ImageIndex
from .readers.label_text import is_blank
from .readers.tables import read_names, read_table

logger = logging.getLogger(__name__)


def read_patients(path: Path, image_column: str, patient_column: str, index: ImageIndex) -> dict[str, str]:
    """The patient of each image that a table names one for.

    Rows for images that are not there are counted in the log: such tables often cover more than was downloaded.

    Raises:
        DataError: a column is missing, a name is ambiguous, an image has two patients, or no row fits an image.
    """
    table = read_table(path)
    image, patient = table.position(image_column, "patients.image"), table.position(patient_column, "patients.patient")
    patients: dict[str, str] = {}
    absent = 0
    loosely: list[tuple[str, str]] = []
    for line, row in table.rows:
        matches = index.match(row[image], loosely)
        if len(matches) > 1:
            raise index.ambiguous(row[image], matches, f"{path}, line {line}")
        if not matches:
            absent += 1
        elif not is_blank(row[patient]):
            first = patients.setdefault(matches[0], row[patient])
            if first != row[patient]:
                both = f"{first!r} and {row[patient]!r}"
                raise DataError(f"{path}, line {line}: image {row[image]!r} has two patients, {both}; keep one")
    if not patients:
        raise DataError(f"{path}: no row gives a patient of an image below {index.root}; check the keys of patients")
    index.say_loose(loosely, path)
    if absent:
        logger.info("%s: %s for images that are not below %s", path, count(absent, "row"), index.root)
    return patients


def group_by_patient(image_ids: Iterable[str], patients: Mapping[str, str]) -> dict[tuple[str, str], list[str]]:
    """Images by patient; an image without a patient is its own."""
    groups: dict[tuple[str, str], list[str]] = {}
    for image_id in sorted(image_ids):
        key = ("patient", patients[image_id]) if image_id in patients else ("image", image_id)
        groups.setdefault(key, []).append(image_id)
    return groups


def split_by_fraction(
    image_ids: Sequence[str], patients: Mapping[str, str], fractions: Mapping[str, float], seed: int
) -> dict[str, str]:
    """The split of each image, so that no patient is in two splits.

    Patients are sorted, shuffled with the seed, and each goes to the split that lacks most images. The result depends
    on the names of images and patients, the fractions and the seed, not on the order of any file.

    Args:
        patients: patient by image; an image without one is its own patient.
        fractions: share of the images by split, with sum 1.
    """
    groups = sorted(group_by_patient(image_ids, patients).items())
    # Equal needs are met in this order, not in that of the file: largest share first.
    order = sorted(fractions, key=lambda split: (-fractions[split], split))
    lacking = {split: fractions[split] * len(image_ids) for split in order}
    splits: dict[str, str] = {}
    for number in np.random.default_rng(seed).permutation(len(groups)):
        _, members = groups[number]
        target = max(lacking, key=lacking.__getitem__)
        lacking[target] -= len(members)
        splits.update(dict.fromkeys(members, target))
    return splits


def split_by_lists(files: Mapping[str, Path], index: ImageIndex, patients: Mapping[str, str]) -> dict[str, str]:
    """The split of each image by list files; an image in no list is in no split.

    Raises:
        DataError: a listed image is not there, or an image or a patient is in two lists.
    """
    splits: dict[str, str] = {}
    for split, path in files.items():
        for image_id in index.resolve(read_names(path), path):
            if image_id in splits:
                raise DataError(f"{path}: image {image_id!r} is in {files[splits[image_id]]} too; keep it in one split")
            splits[image_id] = split
    for (_, patient), (first, *others) in group_by_patient(splits, patients).items():
        for other in others:
            if splits[other] != splits[first]:
                raise DataError(
                    f"patient {patient!r} is in two splits: image {first!r} in {files[splits[first]]}, image {other!r} "
                    f"in {files[splits[other]]}; keep a patient in one list"
                )
    unlisted = len(index) - len(splits)
    if unlisted:
        logger.info("%s: %s below it in no split list", index.root, count(unlisted, "image"))
    return splits

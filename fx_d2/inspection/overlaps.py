"""Finds what splits share: patients, and images by file, by published name map and by their pixels."""

from __future__ import annotations

import itertools
import os
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..data.images import SUFFIXES
from ..data.records import DatasetRecord
from .fingerprint import SIDE
from .similar import find_similar
from .survey import SplitData, role

# (number of the split, image id).
Place = tuple[int, str]
Catalog = Mapping[str, DatasetRecord]


@dataclass(frozen=True)
class Pair:
    """One shared image or patient.

    Attributes:
        first, second: image ids, one in each split (the first one, for a patient with several images there).
        first_file, second_file: their files.
        detail: the patient, or how alike the pictures are.
    """

    first: str
    second: str
    first_file: str
    second_file: str
    detail: str


@dataclass
class Overlap:
    """What two splits share by one way of recognising it.

    Attributes:
        first, second: (dataset, split); the same twice for images that a split holds twice.
        by: ``patient``, or how the same image was recognised, the surest first: ``file``, ``name map``, ``pixels``. An
            image recognised by one is not reported by a later one.
        pairs: one entry a patient, or an image of the second split.
    """

    first: tuple[str, str]
    second: tuple[str, str]
    by: str
    pairs: list[Pair] = field(default_factory=list)

    @property
    def leak(self) -> bool:
        """Whether the splits have different roles: training images must not be scored, nor chosen by."""
        return self.first[1] != self.second[1]


def find_overlaps(
    splits: Sequence[SplitData],
    catalog: Catalog,
    identities: Mapping[str, Hashable],
    thumbnails: Mapping[str, np.ndarray],
    progress: bool = False,
) -> list[Overlap]:
    """Everything that two of the splits share, and what one holds twice.

    Args:
        splits: what was read.
        catalog: the datasets' records, which say what they share and how it is recognised.
        identities: what tells that two paths are one file, by path.
        thumbnails: fingerprints (n, 48, 48) by path, of the images whose pixels were compared.
    """
    # Training first: the second of two splits is then the one whose score is in doubt.
    splits = sorted(splits, key=lambda split: role(split.split))
    collected = _Overlaps(splits)
    collected.add_groups("patient", _by_patient(splits, catalog))
    collected.add_groups("file", _by_file(splits, identities))
    collected.add_groups("name map", _by_name(splits, catalog))
    _add_similar(collected, splits, thumbnails, progress)
    return sorted(collected.by_key.values(), key=lambda o: (not o.leak, o.by != "patient", o.first, o.second))


class _Overlaps:
    """Collects pairs by the two splits and the way; an image of a split is paired with another split once."""

    def __init__(self, splits: Sequence[SplitData]) -> None:
        self.splits = splits
        self.by_key: dict[tuple[int, int, str], Overlap] = {}
        self._paired: set[tuple[int, int, str]] = set()

    def add_groups(self, by: str, groups: Iterable[tuple[str, Sequence[Place]]]) -> None:
        """Groups of places that are one patient or one image, each with what is said of it."""
        for detail, places in groups:
            if len(places) == 1:
                continue
            members: dict[int, list[str]] = defaultdict(list)
            for number, image_id in places:
                members[number].append(image_id)
            for first, ids in members.items():
                for second, others in members.items():
                    if first < second:
                        for image_id in others[:1] if by == "patient" else others:
                            self.add(by, (first, ids[0]), (second, image_id), detail)
                for image_id in () if by == "patient" else ids[1:]:
                    self.add(by, (first, ids[0]), (first, image_id), detail)

    def add(self, by: str, a: Place, b: Place, detail: str) -> None:
        if a == b:  # an image with bars around it, and without them
            return
        (first, first_id), (second, second_id) = sorted((a, b))
        if by != "patient":
            if (first, second, second_id) in self._paired:
                return
            self._paired.add((first, second, second_id))
        splits = self.splits[first], self.splits[second]
        names = [(split.dataset, split.split) for split in splits]
        overlap = self.by_key.setdefault((first, second, by), Overlap(names[0], names[1], by))
        files = [str(s.images[i]["file_name"]) for s, i in zip(splits, (first_id, second_id), strict=True)]
        overlap.pairs.append(Pair(first_id, second_id, files[0], files[1], detail))


def _by_patient(splits: Sequence[SplitData], catalog: Catalog) -> Iterable[tuple[str, list[Place]]]:
    """A patient's name means something within its dataset, and in those that are known to have the same people."""
    people = _same_people(catalog)
    groups: dict[tuple[str, str], list[Place]] = defaultdict(list)
    for number, split in enumerate(splits):
        for image_id, record in split.images.items():
            if patient := patient_of(record):
                groups[people.get(split.dataset, split.dataset), patient].append((number, image_id))
    return ((f"patient {patient}", places) for (_, patient), places in groups.items())


def _same_people(catalog: Catalog) -> dict[str, str]:
    """One name for all datasets whose patients have the same names."""
    people: dict[str, str] = {}
    for name, record in catalog.items():
        for other in (overlap.dataset for overlap in record.overlaps if overlap.same_patients):
            group, old = people.get(name, name), people.get(other, other)
            people |= {key: group for key, value in people.items() if value == old} | {name: group, other: group}
    return people


def patient_of(record: Mapping[str, Any]) -> str:
    """The patient of an image within its dataset, empty if unknown."""
    return str(record.get("patient_id") or "")


def _by_file(splits: Sequence[SplitData], identities: Mapping[str, Hashable]) -> Iterable[tuple[str, list[Place]]]:
    groups: dict[Hashable, list[Place]] = defaultdict(list)
    for number, split in enumerate(splits):
        for image_id, record in split.images.items():
            path = str(record["file_name"])
            groups[identities.get(path, path)].append((number, image_id))
    return (("the same file", places) for places in groups.values())


def _by_name(splits: Sequence[SplitData], catalog: Catalog) -> Iterable[tuple[str, list[Place]]]:
    """Images that a published map, or their own name, says to be an image of another dataset."""
    groups: dict[tuple[str, str], list[Place]] = defaultdict(list)
    for number, split in enumerate(splits):
        record = catalog.get(split.dataset)
        named = [overlap.dataset for overlap in record.overlaps if overlap.known_by == "file name"] if record else []
        for image_id, image in split.images.items():
            names = {(split.dataset, _stem(image_id))} | {(other, _stem(os.path.basename(image_id))) for other in named}
            if "same_image" in image:
                names.add((image["same_image"][0], _stem(image["same_image"][1])))
            for name in names:
                groups[name].append((number, image_id))
    # Two tables may list one image of one dataset under one name: that is the same file, or its reader's to refuse.
    return ((" ".join(name), places) for name, places in groups.items())


def _stem(name: str) -> str:
    """A name without an image's ending; what follows a dot in a DICOM UID is none."""
    stem, ending = os.path.splitext(name)
    return stem if ending.lower() in SUFFIXES else name


def _add_similar(
    collected: _Overlaps, splits: Sequence[SplitData], thumbnails: Mapping[str, np.ndarray], progress: bool
) -> None:
    """Images whose thumbnails correlate; equal thumbnails count as one picture in the search."""
    places: dict[bytes, list[Place]] = defaultdict(list)
    for number, split in enumerate(splits):
        for image_id, record in split.images.items():
            for picture in thumbnails.get(str(record["file_name"]), ()):
                places[picture.tobytes()].append((number, image_id))
    if not places:
        return
    pictures = list(places)
    stack = np.stack([np.frombuffer(picture, np.uint8) for picture in pictures])
    stack = stack.reshape(-1, SIDE, SIDE)
    flat = (stack == stack[:, :1, :1]).all((1, 2))
    collected.add_groups("pixels", (("equal", places[p]) for p, plain in zip(pictures, flat, strict=True) if not plain))
    for match in sorted(find_similar(stack, progress), key=lambda match: -match.correlation):
        detail = f"{match.how}, correlation {match.correlation:.3f}"
        for a, b in itertools.product(places[pictures[match.first]], places[pictures[match.second]]):
            collected.add("pixels", a, b, detail)

"""The whole check: annotations, files, pixels, statistics, overlaps."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..schedule import Unit
from .cache import MeasureCache
from .checks import TaskCheck, mask_file
from .overlaps import find_overlaps, patient_of
from .pixels import Measured, measure, stamps_of
from .problems import Problem
from .report import Report
from .statistics import area_statistics, label_counts
from .survey import SplitData, TaskData, read_splits, register_each

# The share of the grey scale that the middle 98 % of an image's pixels should span.
_LEAST_SPAN = 0.1
# What the readers' reports call a listed image that is not there.
MISSING = "images without a file"


@dataclass(frozen=True)
class Options:
    """How much is checked.

    Attributes:
        pixels: decode the image files.
        sample: at most this many of each dataset and split, spread evenly; 0: all.
        workers: processes that read pixels; 0 takes one per available core.
        cache: file that remembers what was measured; None remembers nothing.
        progress: show progress bars.
        grey: how images are read, see :func:`fx_d2.data.images.read_image`.
    """

    pixels: bool = True
    sample: int = 0
    workers: int = 0
    cache: Path | None = None
    progress: bool = False
    grey: str = "declared"


def check_data(
    units: Sequence[Unit],
    files: Sequence[str | Path] = (),
    options: Options = Options(),
    reading: Mapping[str, Any] | None = None,
) -> Report:
    """Checks every split of the datasets of some units; nothing that is wrong with one keeps the others from it.

    Args:
        units: what a run would train.
        files: YAML files that declare datasets.
        options: how much is checked.
        reading: how built-in datasets are read (``DATASETS.OPTIONS``).
    """
    catalog, problems = register_each(files, reading)
    wrong = {problem.dataset for problem in problems}
    splits, unread = read_splits([unit for unit in units if unit.dataset not in wrong], catalog, options.progress)
    problems += unread
    status = stamps_of(sorted({str(r["file_name"]) for split in splits for r in split.images.values()}))
    pixels = _Pixels(splits, status, options) if options.pixels else _Pixels([], status, options)
    problems += pixels.problems
    datasets: dict[str, Any] = {}
    for split in splits:
        record = catalog.get(split.dataset)
        entry = datasets.setdefault(
            split.dataset,
            {"source": getattr(record, "source", ""), "notes": getattr(record, "notes", ""), "splits": {}},
        )
        published = getattr(record, "published", {}).get(split.split)
        facts, split_problems = _describe(split, status, pixels)
        entry["splits"][split.split] = {"published": published, **facts}
        problems += split_problems
    identities = {path: (one.st_dev, one.st_ino) if one.st_ino else path for path, one in status.items()}
    thumbnails = {path: one.thumbnails for path, one in pixels.images.items()}
    overlaps = find_overlaps(splits, catalog, identities, thumbnails, options.progress)
    return Report([str(unit) for unit in units], datasets, problems, overlaps, _not_checked(splits, pixels, options))


class _Pixels:
    """What was measured of image files and of mask pictures, by path, and what could not be read."""

    def __init__(self, splits: Sequence[SplitData], status: Mapping[str, Any], options: Options) -> None:
        cache = MeasureCache(options.cache) if options.cache and splits else None
        chosen = {path: split for split in splits for path in _sample(_files(split), options.sample) if path in status}
        kind = "image" if options.grey == "declared" else "image by range"
        values, errors = measure(kind, {p: status[p] for p in chosen}, cache, options.workers, options.progress)
        self.images = {path: Measured.unpack(value) for path, value in values.items()}
        self.sizes = {path: (one.height, one.width) for path, one in self.images.items()}
        self.problems = [_unreadable(chosen[path], "", path, error) for path, error in errors.items()]
        masks = {path: split for split in splits for path in _sample(_mask_files(split), options.sample)}
        there = stamps_of(sorted(masks))
        values, errors = measure("mask", there, cache, options.workers, options.progress)
        errors |= {path: f"{path}: no such mask file" for path in masks if path not in there}
        self.masks = {path: tuple(json.loads(value)) for path, value in values.items()}
        self.problems += [_unreadable(masks[path], "mask", path, error) for path, error in errors.items()]


def _unreadable(split: SplitData, task: str, path: str, error: str) -> Problem:
    return Problem(split.dataset, task, split.split, path, "", error.removeprefix(f"{path}: "))


def _files(split: SplitData) -> list[str]:
    return list(dict.fromkeys(str(record["file_name"]) for record in split.images.values()))


def _mask_files(split: SplitData) -> list[str]:
    if "mask" not in split.tasks:
        return []
    entries = (entry["segmentation"] for record in split.tasks["mask"].records for entry in record["annotations"])
    return list(dict.fromkeys(path for path in map(mask_file, entries) if path))


def _sample(paths: Sequence[str], number: int) -> list[str]:
    """At most ``number`` of them (0: all), spread evenly over the list."""
    if not number or len(paths) <= number:
        return list(paths)
    return [paths[place] for place in np.linspace(0, len(paths) - 1, number).round().astype(int)]


def _describe(split: SplitData, status: Mapping[str, Any], pixels: _Pixels) -> tuple[dict, list[Problem]]:
    """The facts of one split for the report, and its problems."""
    problems = _check_files(split, status, pixels)
    patients = [patient_of(record) for record in split.images.values()]
    measured = [pixels.images[path] for path in _files(split) if path in pixels.images]
    tasks = {}
    for task, data in split.tasks.items():
        check = TaskCheck(split.dataset, task, split.split, data, pixels.sizes, pixels.masks)
        problems += check.problems
        tasks[task] = _describe_task(task, data, check)
    listed = [data.listed for data in split.tasks.values() if data.listed is not None]
    files, doubtful = _files(split), _remarks(split, pixels)
    remarks = {remark for data in split.tasks.values() for remark in data.remarks}
    remarks |= {
        f"{len(paths)} {reason} (first: {paths[0]})"
        for reason, paths in doubtful.items()
        if not any(reason in remark for remark in remarks)  # a reader that looks at headers said so
    }
    facts = {
        "files": {"expected": max([len(files), *listed]), "found": sum(path in status for path in files)},
        "images": len(split.images),
        "patients": len({patient for patient in patients if patient}) if any(patients) else None,
        "images_without_patient": patients.count(""),
        "sizes": dict(Counter(f"{width}x{height}" for height, width in _sizes(split, pixels)).most_common()),
        "bits": dict(Counter(str(one.bits) for one in measured if one.bits).most_common()),
        "pixels_checked": len(measured),
        "tasks": tasks,
        "doubtful": doubtful,
        "remarks": sorted(remarks),
    }
    return facts, problems


def _sizes(split: SplitData, pixels: _Pixels) -> list[tuple[int, int]]:
    """Height and width of every image that was measured or whose record says it."""
    sizes = []
    for record in split.images.values():
        recorded = (record["height"], record["width"]) if "height" in record and "width" in record else None
        size = pixels.sizes.get(str(record["file_name"]), recorded)
        if size:
            sizes.append(size)
    return sizes


def _check_files(split: SplitData, status: Mapping[str, Any], pixels: _Pixels) -> list[Problem]:
    """Files that are not there, are of another size than their record says, or show nothing."""
    problems = []
    for image_id, record in split.images.items():
        path, row = str(record["file_name"]), f"image {image_id!r}"
        message = ""
        if path not in status:
            message = "no such image file"
        elif path in pixels.images:
            one = pixels.images[path]
            height, width = record.get("height", one.height), record.get("width", one.width)
            if (height, width) != (one.height, one.width):
                message = (
                    f"the file has {one.width} x {one.height} pixels (width x height), its record says "
                    f"{width} x {height}"
                )
            elif one.constant:
                message = "all pixels have one value: the picture is empty"
            elif one.span < _LEAST_SPAN:
                message = _washed_out(one)
        if message:
            problems.append(Problem(split.dataset, "", split.split, path, row, message))
    for task, data in split.tasks.items():
        if data.listed is not None and data.found is not None and data.found < data.listed:
            message = f"{data.listed - data.found:,} of {data.listed:,} listed images have no file"
            first = next((remark for remark in data.remarks if MISSING in remark), "")
            problems.append(Problem(split.dataset, task, split.split, "", "", f"{message}; {first}".rstrip("; ")))
    return problems


def _washed_out(image: Measured) -> str:
    fix = "read it by range (INPUT.GREY range)" if image.bits > 8 else "stretch its grey levels, or take it out"
    return f"washed out: the middle 98 % of its pixels span {100 * image.span:.2g} % of the grey scale; {fix}"


def _remarks(split: SplitData, pixels: _Pixels) -> dict[str, list[str]]:
    """The files of which a header makes the grey doubtful, by what it says."""
    found: dict[str, list[str]] = {}
    for path in _files(split):
        for remark in pixels.images[path].remarks if path in pixels.images else ():
            found.setdefault(remark, []).append(path)
    return found


def _describe_task(task: str, data: TaskData, check: TaskCheck) -> dict[str, Any]:
    facts: dict[str, Any] = {"images": len(data.records), "normals": check.normals}
    if task == "cls":
        facts["labels"] = label_counts(check.labels, data.classes)
    else:
        facts["boxes" if task == "box" else "masks"] = area_statistics(check.shares, data.classes)
    return facts


def _not_checked(splits: Sequence[SplitData], pixels: _Pixels, options: Options) -> list[str]:
    """In words, what this check leaves open."""
    left = []
    images = len({path for split in splits for path in _files(split)})
    if not options.pixels:
        unseen = "damaged files, bits and copies under other names stay unseen"
        left.append(f"pixels: no image was decoded (--no-pixels); {unseen}")
    elif options.sample:
        left.append(f"pixels: {len(pixels.images):,} of {images:,} images decoded (--sample {options.sample})")
    nameless: dict[str, list[int]] = {}
    for split in splits:
        known = [bool(patient_of(record)) for record in split.images.values()]
        total, named = nameless.get(split.dataset, (0, 0))
        nameless[split.dataset] = [total + len(known), named + sum(known)]
    gaps = [f"{name} ({n - named:,} of {n:,} images)" for name, (n, named) in nameless.items() if named < n]
    if gaps:
        left.append(f"patients: nobody says whose these images are: {', '.join(gaps)}")
    return left

"""The cohort's files: CSV tables, COCO JSON, mask pictures, split lists and the YAML file that declares it."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import yaml
from pycocotools import mask as coco_mask

from .radiograph import Radiograph
from .recipes import Recipe, generator

NEGATIVES = {"No Finding", "Normal"}
# The end of the names of mask pictures.
MASK_SUFFIX = "_mask"
COCO_NAMES = {"box": "boxes_coco.json", "mask": "masks_coco.json"}

_HEADER = """\
# The synthetic cohort: chest radiograph phantoms (fx_d2.phantoms), written by fx-d2 phantoms.
# An example of the format for a dataset of your own; paths are relative to this file.
"""

# Streams of random numbers, beside those of `recipes`.
_CELLS, _UNLISTED = range(100, 102)


@dataclass(frozen=True)
class Entry:
    """One written image: what the annotation files say about it. `instances` are (class, box XYWH, run lengths)."""

    image: str
    patient: str
    index: tuple[int, int]
    height: int
    width: int
    sex: str
    age: int
    view: str
    labels: frozenset[str]
    instances: tuple[tuple[str, list[float], dict], ...]


def encode(recipe: Recipe, patient: int, number: int, picture: Radiograph) -> Entry:
    """The compact form of a picture's truth."""
    name = f"{patient:05d}_{number}.png"
    if recipe.studies:
        name = f"patient{patient:05d}/study{number + 1}.png"
    annotated = {label for task in ("box", "mask") for label in recipe.tasks.get(task, ())}
    instances = []
    for label, mask in picture.instances:
        if label in annotated and mask.any():
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            box = [columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1]
            run_lengths = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
            run_lengths["counts"] = run_lengths["counts"].decode()
            instances.append((label, [float(v) for v in box], run_lengths))
    height, width = picture.image.shape
    sex = "F" if picture.patient.female else "M"
    return Entry(
        name,
        f"P{patient:05d}",
        (patient, number),
        height,
        width,
        sex,
        picture.patient.age,
        picture.view,
        picture.labels,
        tuple(instances),
    )


def write_dataset(
    folder: Path, dataset: str, recipe: Recipe, entries: Sequence[Entry], counts: Mapping[str, int], seed: int
) -> None:
    """Writes all tables of one dataset, whose images are there already."""
    image, patient = recipe.patient_columns
    _write_csv(
        folder / "patients.csv",
        [image, patient, "sex", "age", "view"],
        [[e.image, e.patient, e.sex, e.age, e.view] for e in entries],
    )
    if "cls" in recipe.tasks:
        _write_csv(
            folder / "labels.csv",
            ["image", *recipe.tasks["cls"]],
            [[e.image, *label_cells(recipe, dataset, e, seed)] for e in entries],
        )
    for task in COCO_NAMES.keys() & recipe.tasks:
        known = listed(recipe, dataset, task, entries, seed)
        if task == "mask" and recipe.mask_pictures:
            _write_mask_pictures(folder / "masks", recipe.tasks[task], known)
        else:
            _write_coco(folder, task, recipe.tasks[task], known)
    if recipe.fixed_lists:
        _write_lists(folder / "lists", entries, counts)


def listed(recipe: Recipe, dataset: str, task: str, entries: Sequence[Entry], seed: int) -> list[Entry]:
    """The images that the file of a box or mask task mentions."""
    share, stream = recipe.unlisted.get(task, 0.0), list(COCO_NAMES).index(task)
    return [e for e in entries if generator(seed, dataset, *e.index, _UNLISTED, stream).random() >= share]


def _write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def label_cells(recipe: Recipe, dataset: str, entry: Entry, seed: int) -> list[str]:
    """1, 0, -1 (uncertain) or blank (unknown) per class."""
    classes = recipe.tasks["cls"]
    positive = entry.labels & set(classes)
    truth = ["1" if name in positive or (name in NEGATIVES and not entry.labels) else "0" for name in classes]
    rng = generator(seed, dataset, *entry.index, _CELLS)
    if recipe.exclusive:
        return [""] * len(classes) if rng.random() < recipe.unlisted.get("cls", 0.0) else truth
    blank, uncertain = recipe.blank
    draws = rng.random(len(classes))
    return ["" if d < blank else "-1" if d < blank + uncertain else t for t, d in zip(truth, draws, strict=True)]


def _write_coco(folder: Path, task: str, classes: Sequence[str], entries: Sequence[Entry]) -> None:
    ids = {name: number for number, name in enumerate(classes, start=1)}
    annotations: list[dict] = []
    for image_id, entry in enumerate(entries, start=1):
        for name, box, run_lengths in entry.instances:
            if name in ids:
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": image_id,
                        "category_id": ids[name],
                        "bbox": box,
                        "area": float(coco_mask.area(run_lengths)),
                        "iscrowd": 0,
                        "segmentation": run_lengths,
                    }
                )
    if task == "box":
        annotations = [{key: value for key, value in a.items() if key != "segmentation"} for a in annotations]
    content = {
        "info": {"description": "synthetic chest radiograph phantoms"},
        "images": [
            {"id": number, "file_name": entry.image, "height": entry.height, "width": entry.width}
            for number, entry in enumerate(entries, start=1)
        ],
        "categories": [{"id": number, "name": name} for name, number in ids.items()],
        "annotations": annotations,
    }
    (folder / COCO_NAMES[task]).write_text(json.dumps(content) + "\n", encoding="utf-8")


def _write_mask_pictures(folder: Path, classes: Sequence[str], entries: Sequence[Entry]) -> None:
    """One folder per class; an image without the finding has an all-zero picture, which says so."""
    for name in classes:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for entry in entries:
            mask = np.zeros((entry.height, entry.width), np.uint8)
            for label, _, run_lengths in entry.instances:
                if label == name:
                    mask |= coco_mask.decode(run_lengths)
            path = folder / name / f"{Path(entry.image).stem}{MASK_SUFFIX}.png"
            if not cv2.imwrite(str(path), mask * np.uint8(255)):
                raise OSError(f"{path}: could not be written")


def _write_lists(folder: Path, entries: Sequence[Entry], counts: Mapping[str, int]) -> None:
    """Text files with one image per line. Patients, not images, go to test, then to val, and the rest to train; in
    their order, so that each split has whole rounds of the deck and with it every finding."""
    by_patient: dict[str, list[str]] = {}
    for entry in entries:
        by_patient.setdefault(entry.patient, []).append(entry.image)
    lists: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for images in by_patient.values():
        split = next((s for s in ("test", "val") if len(lists[s]) < counts[s]), "train")
        lists[split] += images
    folder.mkdir(exist_ok=True)
    for split, names in lists.items():
        (folder / f"{split}.txt").write_text("".join(f"{name}\n" for name in sorted(names)), encoding="utf-8")


def write_yaml(path: Path, recipes: Mapping[str, Recipe], counts: Mapping[str, int], seed: int) -> None:
    """Declares the datasets in the format of a user's own."""
    total = sum(counts.values())
    datasets = {}
    for name, recipe in recipes.items():
        image, patient = recipe.patient_columns
        splits: dict = {split: f"{name}/lists/{split}.txt" for split in ("train", "val", "test")}
        if not recipe.fixed_lists:
            splits = {split: number / total for split, number in counts.items()} | {"seed": seed}
        datasets[name] = {
            "images": f"{name}/images",
            "patients": {"file": f"{name}/patients.csv", "image": image, "patient": patient},
            "splits": splits,
            "tasks": {task: _task(name, recipe, task) for task in recipe.tasks},
        }
    text = yaml.safe_dump({"datasets": datasets}, sort_keys=False, default_flow_style=None, width=120)
    path.write_text(_HEADER + text, encoding="utf-8")


def _task(dataset: str, recipe: Recipe, task: str) -> dict:
    classes = list(recipe.tasks[task])
    if task == "cls":
        return {
            "file": f"{dataset}/labels.csv",
            "image": "image",
            "classes": classes,
            "exclusive": recipe.exclusive,
            "uncertain": "ignore",
        }
    if task == "box":
        return {"file": f"{dataset}/{COCO_NAMES[task]}", "classes": classes}
    if recipe.mask_pictures:
        return {"folders": {name: f"{dataset}/masks/{name}" for name in classes}, "suffix": MASK_SUFFIX}
    declared: dict = {"file": f"{dataset}/{COCO_NAMES[task]}", "classes": classes}
    pairs = [[name, name.replace("Left", "Right")] for name in classes if name.startswith("Left ")]
    if pairs:
        declared["lateral_pairs"] = pairs
    return declared

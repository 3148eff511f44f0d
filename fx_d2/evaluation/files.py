"""Predictions as files: a CSV of scores for findings, COCO ground truth and results for boxes and masks.

``docs/metrics.md`` describes the layout. Numbers are written in full: reading gives back the same bits.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from ..data.errors import DataError
from ..files import original_cell, safe_cell, write_json
from .tables import BoxTable, FindingTable, ImageRow, Manifest, MaskRow, MaskTable, Options, Table, as_rows

FOLDER = "predictions"
MANIFEST = "manifest.json"
FORMAT = 1
_LABEL, _SCORE = "label:", "score:"


def table_path(root: str | Path, model: str, unit: str, split: str) -> Path:
    """The predictions of a model for a unit (``dataset/task``); model ``truth``: the ground truth."""
    dataset, _, task = unit.rpartition("/")
    return Path(root) / model / f"{dataset}_{task}_{split}.{'csv' if task == 'cls' else 'json'}"


def write_manifest(root: str | Path, manifest: Manifest) -> None:
    write_json(Path(root) / MANIFEST, {"format": FORMAT, **asdict(manifest)})


def read_manifest(root: str | Path) -> Manifest:
    """
    Raises:
        DataError: the file is missing, is of another version, or lacks a key.
    """
    path = Path(root) / MANIFEST
    if not path.is_file():
        raise DataError(f"{path} does not exist; name the folder {FOLDER!r} that an evaluation wrote")
    stored = _read_json(path)
    if stored.pop("format", None) != FORMAT:
        raise DataError(f"{path}: its format is not {FORMAT}, which this version reads")
    try:
        options = Options(**stored.pop("options", {}))
        return Manifest(**{**stored, "models": tuple(stored["models"])}, options=options)
    except (TypeError, KeyError) as error:
        raise DataError(f"{path}: {error}") from None


def write_table(root: str | Path, model: str, unit: str, split: str, table: Table, truth: bool = True) -> None:
    """Writes the predictions and the ground truth, which for boxes and masks is a file of its own.

    Args:
        truth: False where it was written with another model's predictions.
    """
    path = table_path(root, model, unit, split)
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(table, FindingTable):
        _write_scores(path, table)
        return
    _write_rows(path, _annotations(table, truth=False))
    if truth:
        write_json(table_path(root, "truth", unit, split), _ground_truth(table))


def read_table(root: str | Path, model: str, unit: str, split: str, exclusive: bool = False) -> Table:
    """What :func:`write_table` wrote.

    Raises:
        DataError: a file is missing or damaged, or a prediction is for an image or a class that the truth lacks.
    """
    path, task = table_path(root, model, unit, split), unit.rpartition("/")[2]
    if task == "cls":
        return _read_scores(path, exclusive)
    keys = ["bbox", "score"] if task == "box" else ["segmentation"]
    images, classes, annotations = _read_ground_truth(table_path(root, "truth", unit, split), keys[:1])
    results = _read_json(path)
    _check_rows(path, results, len(images), len(classes), keys)
    if task == "box":
        truth = as_rows(
            ([a["image_id"] - 1, *a["bbox"], a["category_id"] - 1, a.get("iscrowd", 0)] for a in annotations), 7
        )
        predictions = as_rows(([r["image_id"] - 1, *r["bbox"], r["category_id"] - 1, r["score"]] for r in results), 7)
        return BoxTable(images, classes, truth, predictions)
    return MaskTable(images, classes, _mask_rows(annotations, len(images)), _mask_rows(results, len(images)))


def _score_columns(classes: tuple[str, ...]) -> list[str]:
    return ["image_id", "patient_id", *(_LABEL + name for name in classes), *(_SCORE + name for name in classes)]


def _write_scores(path: Path, table: FindingTable) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_score_columns(table.classes))
        for image, labels, scores in zip(table.images, table.labels.tolist(), table.scores.tolist(), strict=True):
            # An unknown label is blank, as in the published sets.
            cells = ["" if value != value else f"{value:.17g}" for value in labels]
            names = safe_cell(image.image_id), safe_cell(image.patient_id or "")
            writer.writerow([*names, *cells, *map(repr, scores)])


def _read_scores(path: Path, exclusive: bool) -> FindingTable:
    if not path.is_file():
        raise DataError(f"{path} does not exist, although {MANIFEST} names it")
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        header = next(rows, [])
        classes = tuple(name.removeprefix(_LABEL) for name in header if name.startswith(_LABEL))
        if header != _score_columns(classes) or not classes:
            raise DataError(f"{path}: the columns must be image_id, patient_id, label:CLASS..., score:CLASS...")
        images, numbers = [], []
        for line, row in enumerate(rows, start=2):
            try:
                numbers.append([float(cell) if cell else np.nan for cell in row[2:]])
                images.append(ImageRow(original_cell(row[0]), original_cell(row[1]) or None))
            except (ValueError, IndexError) as error:
                raise DataError(f"{path}, line {line}: {error}") from None
            if len(row) != len(header):
                raise DataError(f"{path}, line {line}: {len(row)} cells, the header has {len(header)}")
    values = as_rows(numbers, 2 * len(classes))
    labels, scores = values[:, : len(classes)], values[:, len(classes) :]
    for bad, problem in ((np.isnan(scores), "is missing"), (~((scores >= 0) & (scores <= 1)), "lies outside 0..1")):
        if bad.any():
            raise DataError(f"{path}, line {2 + int(bad.any(1).argmax())}: a score {problem}")
    if not images:
        raise DataError(f"{path}: there is no image")
    return FindingTable(images, classes, labels, scores, exclusive)


def _annotations(table: BoxTable | MaskTable, truth: bool) -> Iterator[dict[str, Any]]:
    """COCO annotations of the truth, or COCO results."""
    annotation: dict[str, Any]
    if isinstance(table, BoxTable):
        for image, *box, category, value in (table.truth if truth else table.predictions).tolist():
            annotation = {"image_id": int(image) + 1, "category_id": int(category) + 1, "bbox": box}
            yield annotation | ({"area": box[2] * box[3], "iscrowd": int(value)} if truth else {"score": value})
        return
    for number, rows in enumerate(table.truth if truth else table.predictions, start=1):
        for row in rows:
            annotation = {"image_id": number, "category_id": row.category + 1, "segmentation": row.runs}
            if truth:
                box, area = coco_mask.toBbox(row.runs).tolist(), int(coco_mask.area(row.runs))
                yield annotation | {"bbox": box, "area": area, "iscrowd": 0}
            else:
                yield annotation | {"score": row.score}


def _mask_rows(rows: Iterable[dict], count: int) -> list[list[MaskRow]]:
    grouped: list[list[MaskRow]] = [[] for _ in range(count)]
    for row in rows:
        mask = MaskRow(row["category_id"] - 1, row["segmentation"], row.get("score", 0.0))
        grouped[row["image_id"] - 1].append(mask)
    return grouped


def _ground_truth(table: BoxTable | MaskTable) -> dict[str, Any]:
    images = []
    for number, row in enumerate(table.images, start=1):
        image = {"id": number, "file_name": row.image_id, "height": row.height, "width": row.width}
        unknown = [index + 1 for index in row.unknown_classes]
        optional = {"patient_id": row.patient_id, "spacing": row.spacing, "unknown_classes": unknown or None}
        images.append(image | {key: value for key, value in optional.items() if value is not None})
    categories = [{"id": number, "name": name} for number, name in enumerate(table.classes, start=1)]
    annotations = [{"id": number, **row} for number, row in enumerate(_annotations(table, truth=True), start=1)]
    return {"images": images, "categories": categories, "annotations": annotations}


def _read_ground_truth(path: Path, keys: list[str]) -> tuple[list[ImageRow], tuple[str, ...], list[dict]]:
    stored = _read_json(path)
    try:
        if [image["id"] for image in stored["images"]] != list(range(1, len(stored["images"]) + 1)):
            raise DataError(f"{path}: the ids of the images must be 1, 2, 3, ...")
        images = [
            ImageRow(
                image["file_name"],
                image.get("patient_id"),
                image["height"],
                image["width"],
                tuple(image["spacing"]) if "spacing" in image else None,
                tuple(number - 1 for number in image.get("unknown_classes", ())),
            )
            for image in stored["images"]
        ]
        classes = tuple(category["name"] for category in stored["categories"])
        _check_rows(path, stored["annotations"], len(images), len(classes), keys)
        return images, classes, stored["annotations"]
    except (KeyError, TypeError) as error:
        raise DataError(f"{path}: not a COCO file of this evaluation, {error!r} is missing") from None


def _check_rows(path: Path, rows: Any, images: int, classes: int, keys: list[str]) -> None:
    if not isinstance(rows, list):
        raise DataError(f"{path}: a list of COCO rows is expected")
    for number, row in enumerate(rows):
        if not (1 <= row.get("image_id", 0) <= images and 1 <= row.get("category_id", 0) <= classes):
            raise DataError(f"{path}, row {number}: no such image or category in the ground truth: {str(row)[:80]}")
        if not all(key in row for key in keys):
            raise DataError(f"{path}, row {number}: {' and '.join(keys)} are needed: {str(row)[:80]}")


def _write_rows(path: Path, rows: Iterable[dict]) -> None:
    """A JSON list, one row a line, without a second copy of all rows in memory."""
    encode = json.JSONEncoder(allow_nan=False).encode  # one for all rows: json.dumps would make one for each
    with path.open("w", encoding="utf-8") as file:
        lead = "[\n"
        for row in rows:
            file.write(lead + encode(row))
            lead = ",\n"
        file.write("\n]\n" if lead == ",\n" else "[]\n")


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path} does not exist, although {MANIFEST} names it") from None
    except ValueError as error:
        raise DataError(f"{path}: not valid JSON ({error})") from None

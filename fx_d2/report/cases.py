"""The images that a report shows: the best, the worst and random ones of a unit, by a score of a single image."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy as np
from detectron2.data import DatasetCatalog

from ..config import split_name
from ..data.errors import DataError
from ..data.images import read_image
from ..evaluation.regions import decode, merge_regions
from ..evaluation.tables import BoxTable, FindingTable, MaskTable, Table
from ..schedule import Unit
from .image_scores import BOX_THRESHOLD, Score, image_scores, mask_dice
from .pictures import Case, Shape

logger = logging.getLogger(__name__)

GROUPS = ("best", "worst", "random")
MAX_BOXES = 10
_MAX_FINDINGS = 6


def choose(scores: Sequence[Score | None], number: int, seed: int) -> dict[str, list[int]]:
    """Positions of the ``number`` best, worst and random images; none is chosen twice, equal scores go by position."""
    known = {i: score for i, score in enumerate(scores) if score is not None}
    best = sorted(known, key=lambda i: (not known[i].informative, -known[i].value))[:number]
    rest = [i for i in known if i not in best]
    worst = sorted(rest, key=lambda i: known[i].value)[:number]
    rest = [i for i in rest if i not in worst]
    order = np.random.default_rng(seed).permutation(len(rest))[:number]
    return {"best": best, "worst": worst, "random": sorted(rest[i] for i in order)}


def make_cases(unit: Unit, split: str, table: Table, number: int, seed: int) -> dict[str, list[Case]]:
    """The cases of a unit by group.

    Raises:
        ValueError: the dataset's images are not at hand: it is not registered, or its annotations cannot be read.
    """
    scores = image_scores(table)
    files = image_files(unit, split)
    chosen = choose(scores, number, seed)
    return {
        group: [_case(table, position, scores[position], group, files) for position in positions]
        for group, positions in chosen.items()
    }


def image_files(unit: Unit, split: str) -> dict[str, str]:
    """File of every image of a split.

    Raises:
        ValueError: the dataset is not at hand.
    """
    name = split_name(unit, split)
    if name not in DatasetCatalog.list():
        raise ValueError(f"{name} is not registered here")
    try:
        return {str(record["image_id"]): record["file_name"] for record in DatasetCatalog.get(name)}
    except (DataError, OSError) as error:
        raise ValueError(str(error)) from None


def _case(table: Table, position: int, score: Score | None, group: str, files: Mapping[str, str]) -> Case:
    image_id = table.images[position].image_id
    image, problem = _read(files.get(image_id), image_id)
    assert score is not None
    truth, predictions, remark = _shapes(table, position)
    findings = _findings(table, position) if isinstance(table, FindingTable) else []
    present = [name for name, label, *_ in findings if label == 1] or [shape.label for shape in truth]
    predicted = [f"{name} {value:.2f}" for name, _, value, _ in findings] or [shape.label for shape in predictions]
    truth_text, prediction_text = (", ".join(names) or "nothing" for names in (present, predicted))
    alt = f"Radiograph {image_id}. Truth: {truth_text}. Prediction: {prediction_text}."
    remark = "; ".join(filter(None, (score.detail, remark)))
    return Case(group, image_id, score.text, alt, image, truth, predictions, findings, remark, problem)


def _read(file: str | None, image_id: str) -> tuple[np.ndarray | None, str]:
    if file is None:
        return None, f"{image_id} is not in the dataset as it is now"
    try:
        return read_image(file), ""
    except (DataError, OSError, ValueError) as error:
        logger.warning("report: %s", error)
        return None, f"the image cannot be read: {error}"


def _findings(table: FindingTable, position: int) -> list[tuple[str, float | None, float, int]]:
    """What is present first, then by score."""
    rows = [
        (name, None if np.isnan(label) else float(label), float(score), index)
        for index, (name, label, score) in enumerate(
            zip(table.classes, table.labels[position], table.scores[position], strict=True)
        )
    ]
    return sorted(rows, key=lambda row: (row[1] != 1, -row[2]))[:_MAX_FINDINGS]


def _shapes(table: Table, position: int) -> tuple[list[Shape], list[Shape], str]:
    """Truth, prediction, and what of it is not drawn."""
    if isinstance(table, FindingTable):
        return [], [], ""
    if isinstance(table, MaskTable):
        truth = [Shape(table.classes[r.category], r.category, mask=decode(r.runs)) for r in table.truth[position]]
        dice = mask_dice(table, position)
        predictions = []
        for category in sorted({r.category for r in table.predictions[position]}):
            label = table.classes[category] + (f" {dice[category]:.2f}" if category in dice else "")
            regions = merge_regions(table.predictions[position], category)
            assert regions is not None
            predictions.append(Shape(label, category, mask=decode(regions)))
        labels = ", ".join(shape.label for shape in predictions)
        return truth, predictions, f"Dice: {labels}" if predictions else "nothing predicted"
    truth = [_box(table, row, "") for row in table.truth[table.truth[:, 0] == position]]
    rows = table.predictions[table.predictions[:, 0] == position]
    rows = rows[np.argsort(-rows[:, 6], kind="stable")]
    shown = rows[rows[:, 6] >= BOX_THRESHOLD]
    remark = f"{len(shown) - MAX_BOXES} more boxes" if len(shown) > MAX_BOXES else ""
    if not len(shown):
        remark = f"no box with score ≥ {BOX_THRESHOLD:g}" + (f", highest {rows[0, 6]:.2f}" if len(rows) else "")
    return truth, [_box(table, row, f" {row[6]:.2f}") for row in shown[:MAX_BOXES]], remark


def _box(table: BoxTable, row: np.ndarray, score: str) -> Shape:
    index = int(row[5])
    x, y, width, height = row[1:5]
    return Shape(table.classes[index] + score, index, box=(x, y, x + width, y + height))

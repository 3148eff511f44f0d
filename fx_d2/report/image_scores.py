"""One number for one image: by what the report chooses the best and the worst cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pycocotools import mask as coco_mask

from ..evaluation.tables import BoxTable, FindingTable, MaskRow, MaskTable, RunLengths, Table

# Boxes below it are not drawn or counted.
BOX_THRESHOLD = 0.3
# A predicted box and a true one of its class belong together from this overlap on.
MATCH_IOU = 0.5


@dataclass(frozen=True)
class Score:
    """What an image was chosen by.

    Attributes:
        value: 0 worst, 1 best. text, detail: for the caption.
        telling: the image has something to find; the others come last among the best: they teach little.
    """

    value: float
    text: str
    detail: str = ""
    telling: bool = True


WORDS = {
    "cls": "Chosen by the mean agreement of score and truth over the known findings: 1 − |truth − score|.",
    "box": f"Chosen by panoptic quality of the boxes with a score of at least {BOX_THRESHOLD:g}: the overlaps of the "
    f"matched boxes (IoU {MATCH_IOU:g} and more) over the mean number of true and predicted ones.",
    "mask": "Chosen by the mean Dice of the classes that are there or were predicted.",
}


def image_scores(table: Table) -> list[Score | None]:
    """The score of each image; None where nothing about it is known."""
    if isinstance(table, FindingTable):
        return [_finding_score(labels, scores) for labels, scores in zip(table.labels, table.scores, strict=True)]
    if isinstance(table, BoxTable):
        truth = by_image(table.truth[table.truth[:, 6] == 0], len(table.images))
        found = by_image(table.predictions[table.predictions[:, 6] >= BOX_THRESHOLD], len(table.images))
        return [_box_score(one, other) for one, other in zip(truth, found, strict=True)]
    return [_mask_score(table, number) for number in range(len(table.images))]


def by_image(rows: np.ndarray, count: int) -> list[np.ndarray]:
    """Rows of a :class:`BoxTable` apart by image."""
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    return np.split(rows, np.searchsorted(rows[:, 0], np.arange(1, count)))


def _finding_score(labels: np.ndarray, scores: np.ndarray) -> Score | None:
    known = ~np.isnan(labels)
    if not known.any():
        return None
    value = float(1.0 - np.abs(labels[known] - scores[known]).mean())
    return Score(value, f"agreement {value:.2f}", telling=bool((labels[known] == 1).any()))


def _box_score(truth: np.ndarray, found: np.ndarray) -> Score:
    overlaps = match(truth, found)
    total = (len(truth) + len(found)) / 2
    value = float(sum(overlaps) / total) if total else 1.0
    detail = f"{len(truth)} true, {len(found)} predicted, {len(overlaps)} matched"
    return Score(value, f"quality {value:.2f}", detail, len(truth) > 0)


def match(truth: np.ndarray, found: np.ndarray) -> list[float]:
    """Overlaps of the matched pairs: each predicted box, the surest first, takes the free true box of its class that it
    overlaps most, from :data:`MATCH_IOU` on. Rows as in :class:`BoxTable`.
    """
    free, overlaps = list(range(len(truth))), []
    for row in found[np.argsort(-found[:, 6], kind="stable")]:
        best = max(((_iou(row, truth[i]), i) for i in free if truth[i, 5] == row[5]), default=(0.0, -1))
        if best[0] >= MATCH_IOU:
            overlaps.append(best[0])
            free.remove(best[1])
    return overlaps


def _iou(one: np.ndarray, other: np.ndarray) -> float:
    low = np.maximum(one[1:3], other[1:3])
    high = np.minimum(one[1:3] + one[3:5], other[1:3] + other[3:5])
    inside = float(np.prod(np.maximum(high - low, 0.0)))
    union = float(np.prod(one[3:5]) + np.prod(other[3:5])) - inside
    return inside / union if union > 0 else 0.0


def _mask_score(table: MaskTable, position: int) -> Score | None:
    dice = mask_dice(table, position)
    row = table.images[position]
    if not dice:
        known = len(row.unknown_classes) < len(table.classes)
        return Score(1.0, "nothing there", telling=False) if known else None
    value = float(np.mean(list(dice.values())))
    return Score(value, f"Dice {value:.2f}")


def mask_dice(table: MaskTable, position: int) -> dict[int, float]:
    """Dice of each known class that is there or was predicted; run lengths are not decoded."""
    seen = {row.category for row in (*table.truth[position], *table.predictions[position])}
    dice = {}
    for category in sorted(seen - set(table.images[position].unknown_classes)):
        truth, found = joined(table.truth[position], category), joined(table.predictions[position], category)
        total = sum(int(coco_mask.area(runs)) for runs in (truth, found) if runs is not None)
        if total:
            both = 0 if truth is None or found is None else int(coco_mask.area(coco_mask.merge([truth, found], True)))
            dice[category] = 2.0 * both / total
    return dice


def joined(rows: Sequence[MaskRow], category: int) -> RunLengths | None:
    """All regions of a class on an image as one; None without any."""
    runs = [row.runs for row in rows if row.category == category]
    return coco_mask.merge(runs) if runs else None

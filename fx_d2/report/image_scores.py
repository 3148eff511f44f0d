"""One number for one image: by what the report chooses the best and the worst cases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pycocotools import mask as coco_mask

from ..evaluation.regions import merge_regions
from ..evaluation.tables import BoxTable, FindingTable, MaskTable, Table

# Boxes below it are not drawn or counted.
BOX_THRESHOLD = 0.3
# A predicted box and a true one of its class belong together from this overlap on.
MATCH_IOU = 0.5


@dataclass(frozen=True)
class Score:
    """What an image was chosen by.

    Attributes:
        value: 0 worst, 1 best. text, detail: for the caption.
        informative: the image has something to find; the others come last among the best: they teach little.
    """

    value: float
    text: str
    detail: str = ""
    informative: bool = True


SELECTION = {
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
        predictions = by_image(table.predictions[table.predictions[:, 6] >= BOX_THRESHOLD], len(table.images))
        return [_box_score(*pair) for pair in zip(truth, predictions, strict=True)]
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
    return Score(value, f"agreement {value:.2f}", informative=bool((labels[known] == 1).any()))


def _box_score(truth: np.ndarray, predictions: np.ndarray) -> Score:
    overlaps = match(truth, predictions)
    total = (len(truth) + len(predictions)) / 2
    value = float(sum(overlaps) / total) if total else 1.0
    detail = f"{len(truth)} true, {len(predictions)} predicted, {len(overlaps)} matched"
    return Score(value, f"quality {value:.2f}", detail, len(truth) > 0)


def match(truth: np.ndarray, predictions: np.ndarray) -> list[float]:
    """Overlaps of the matched pairs: each predicted box, the surest first, takes the free true box of its class that it
    overlaps most, from :data:`MATCH_IOU` on. Rows as in :class:`BoxTable`.
    """
    free, overlaps = list(range(len(truth))), []
    for row in predictions[np.argsort(-predictions[:, 6], kind="stable")]:
        best = max(((_iou(row, truth[i]), i) for i in free if truth[i, 5] == row[5]), default=(0.0, -1))
        if best[0] >= MATCH_IOU:
            overlaps.append(best[0])
            free.remove(best[1])
    return overlaps


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    low = np.maximum(a[1:3], b[1:3])
    high = np.minimum(a[1:3] + a[3:5], b[1:3] + b[3:5])
    inside = float(np.prod(np.maximum(high - low, 0.0)))
    union = float(np.prod(a[3:5]) + np.prod(b[3:5])) - inside
    return inside / union if union > 0 else 0.0


def _mask_score(table: MaskTable, position: int) -> Score | None:
    dice = mask_dice(table, position)
    row = table.images[position]
    if not dice:
        known = len(row.unknown_classes) < len(table.classes)
        return Score(1.0, "nothing there", informative=False) if known else None
    value = float(np.mean(list(dice.values())))
    return Score(value, f"Dice {value:.2f}")


def mask_dice(table: MaskTable, position: int) -> dict[int, float]:
    """Dice of each known class that is there or was predicted; run lengths are not decoded."""
    seen = {row.category for row in (*table.truth[position], *table.predictions[position])}
    dice = {}
    for category in sorted(seen - set(table.images[position].unknown_classes)):
        sides = (merge_regions(rows[position], category) for rows in (table.truth, table.predictions))
        regions = [region for region in sides if region is not None]
        total = sum(int(coco_mask.area(region)) for region in regions)
        if total:
            overlap = int(coco_mask.area(coco_mask.merge(regions, True))) if len(regions) == 2 else 0
            dice[category] = 2.0 * overlap / total
    return dice

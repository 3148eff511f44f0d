"""Whether a network takes left for right: pairs of classes that lie on each other's place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from pycocotools import mask as coco_mask

from .tables import BoxTable, MaskTable, RunLengths

# Of one image by class: what is there, as run lengths.
Shapes = dict[int, RunLengths]


def count_exchanged(table: BoxTable | MaskTable, pairs: Sequence[tuple[str, str]]) -> tuple[int, int]:
    """How many predictions lie more on the partner's truth than on that of their own class, and how many could.

    What could: a predicted class on an image whose truth has it and its partner. Of boxes the surest of a class counts.

    Args:
        pairs: class names, such as ``("Left Lung", "Right Lung")``; pairs that the table does not have are left out.
    """
    partner = {}
    for pair in pairs:
        if all(name in table.classes for name in pair):
            left, right = map(table.classes.index, pair)
            partner.update({left: right, right: left})
    exchanged = total = 0
    for truth, predicted in _shapes(table):
        for category in partner.keys() & predicted.keys():
            if {category, partner[category]} <= truth.keys():
                total += 1
                own, other = (_overlap(predicted[category], truth[k]) for k in (category, partner[category]))
                exchanged += other > own
    return exchanged, total


def _overlap(first: RunLengths, second: RunLengths) -> int:
    return int(coco_mask.area(coco_mask.merge([first, second], True)))


def _shapes(table: BoxTable | MaskTable) -> Iterable[tuple[Shapes, Shapes]]:
    """Truth and prediction of every image."""
    if isinstance(table, MaskTable):
        for sides in zip(table.truth, table.predictions, strict=True):
            merged: list[Shapes] = []
            for rows in sides:
                classes = {row.category for row in rows}
                merged.append({k: coco_mask.merge([row.runs for row in rows if row.category == k]) for k in classes})
            yield merged[0], merged[1]
        return
    surest = table.predictions[np.argsort(table.predictions[:, 6], kind="stable")]
    for number, image in enumerate(table.images):
        of_image = (rows[rows[:, 0] == number] for rows in (table.truth, surest))
        truth, predicted = (
            {int(row[5]): _box_shape(row[1:5], image.height, image.width) for row in rows} for rows in of_image
        )
        yield truth, predicted


def _box_shape(box: np.ndarray, height: int, width: int) -> RunLengths:
    return coco_mask.frPyObjects(np.ascontiguousarray(box[None]), height, width)[0]

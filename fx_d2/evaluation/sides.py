"""Whether a network takes left for right: pairs of classes that lie on each other's place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from pycocotools import mask as coco_mask

from .regions import merge_regions
from .tables import BoxTable, MaskRow, MaskTable, RunLengths

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
        for rows, found in zip(table.truth, table.predictions, strict=True):
            yield _merged(rows), _merged(found)
        return
    surest = table.predictions[np.argsort(table.predictions[:, 6], kind="stable")]
    for number, image in enumerate(table.images):
        of_image = (rows[rows[:, 0] == number] for rows in (table.truth, surest))
        truth, predicted = (
            {int(row[5]): _box_shape(row[1:5], image.height, image.width) for row in rows} for rows in of_image
        )
        yield truth, predicted


def _merged(rows: Sequence[MaskRow]) -> Shapes:
    classes = sorted({row.category for row in rows})
    return {category: runs for category in classes if (runs := merge_regions(rows, category)) is not None}


def _box_shape(box: np.ndarray, height: int, width: int) -> RunLengths:
    return coco_mask.frPyObjects(np.ascontiguousarray(box[None]), height, width)[0]

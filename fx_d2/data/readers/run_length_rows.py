"""SIIM-ACR and CANDID-PTX: rows of run lengths, several an image, -1 for none; labels, boxes and masks from them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from detectron2.structures import BoxMode

from .. import labels, rle
from ..errors import DataError
from ..masks import mask_annotation
from ..records import ReadReport, TaskRecord

# Both sets draw on images of this size.
FRAME = (1024, 1024)
# Smaller parts of a mask, in pixels, are slips of the pen and get no box.
SMALLEST_BOX = 16
_BOX_NOTE = f"boxes are made from the masks: one round each connected part of at least {SMALLEST_BOX} pixels"
# What both sets are used for.
TASKS = {
    "cls": TaskRecord(labels.PNEUMOTHORAX, notes="an image with a mask is positive"),
    "box": TaskRecord(labels.PNEUMOTHORAX, notes=_BOX_NOTE),
    "mask": TaskRecord(labels.PNEUMOTHORAX, notes="several rows an image are united"),
}
_NONE = "-1"


def read_masks(rows: Iterable[tuple[str, str, str]], report: ReadReport) -> dict[str, list[rle.Rle]]:
    """The masks of each image; an empty list for an image without.

    Args:
        rows: (image, run lengths, place) of each row.
        report: counts blank and repeated rows, and images whose rows say both none and a mask (the mask counts).

    Raises:
        DataError: run lengths are damaged; the message names the row.
    """
    masks: dict[str, list[rle.Rle]] = defaultdict(list)
    none: dict[str, str] = {}
    seen = set()
    for image, text, place in rows:
        if (image, text) in seen:
            report.note("rows repeated left out", f"{place}: {image}")
            continue
        seen.add((image, text))
        if not text:
            report.note("blank run lengths taken as no mask", f"{place}: {image}")
        own = masks[image]
        if text in ("", _NONE):
            none[image] = place
            continue
        try:
            mask = rle.from_relative_columns(text, *FRAME)
        except DataError as error:
            raise DataError(f"{place}: {error}") from None
        own += [mask] if mask is not None else []
    for image, place in none.items():
        if masks[image]:
            report.note("images with a mask and a row that says none (the mask counts)", f"{place}: {image}")
    return dict(masks)


def fields_of(task: str, masks: list[rle.Rle], image: str, report: ReadReport) -> dict:
    """The fields of one image for a task of one class."""
    if task == "cls":
        return {"labels": [float(bool(masks))]}
    if task == "mask":
        found = [mask_annotation(mask, 0) for mask in masks]
        return {"annotations": found, "unknown_classes": []}
    if not masks:
        return {"annotations": []}
    whole = rle.union(masks) if len(masks) > 1 else masks[0]
    boxes = rle.boxes_from_mask(whole)
    kept = rle.boxes_from_mask(whole, SMALLEST_BOX)
    if len(kept) < len(boxes):
        report.note(f"parts of a mask below {SMALLEST_BOX} pixels without a box", image, len(boxes) - len(kept))
    return {
        "annotations": [
            {
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "bbox_mode": BoxMode.XYWH_ABS,
                "category_id": 0,
                "iscrowd": 0,
            }
            for x0, y0, x1, y1 in kept.tolist()
        ]
    }

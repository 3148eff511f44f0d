"""An image with its truth, as stored or as the network gets it, and how to draw it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from detectron2.structures import BoxMode
from detectron2.utils.visualizer import VisImage

from ..data.images import read_image
from ..data.masks import UNKNOWN, decode_masks
from .drawing import Drawn, overlay_boxes, overlay_masks
from .palette import Color, color_of
from .panels import ABSENT, FAINT, FOREGROUND, GAP, PRESENT, TEXT, Legend, as_rgb, blank, shorten, write

# Height of a row of the label list in pixels, at least and at most.
_ROW = (15.0, 28.0)


@dataclass(frozen=True)
class View:
    """An image and the truth of one task, in the image's pixels.

    Attributes:
        image: uint8 (H, W).
        labels: one number a class, NaN unknown.
        boxes: (N, 4) corners; ``categories`` and ``crowd`` have an entry for each.
        masks: uint8 (K, H, W) of 0, 1 and 255 (unknown).
    """

    image: np.ndarray
    labels: Sequence[float] | None = None
    boxes: np.ndarray | None = None
    categories: Sequence[int] = ()
    crowd: Sequence[bool] = ()
    masks: np.ndarray | None = None


def stored_view(record: Mapping[str, Any], classes: int) -> View:
    """An image as stored, with the truth of its dataset dict."""
    image = read_image(record["file_name"])
    if "labels" in record:
        return View(image, labels=record["labels"])
    annotations = record["annotations"]
    if record["unit"].endswith("/mask"):
        height, width = image.shape
        return View(image, masks=decode_masks({"height": height, "width": width, **record}, classes))
    corners = [BoxMode.convert(list(a["bbox"]), a["bbox_mode"], BoxMode.XYXY_ABS) for a in annotations]
    return View(
        image,
        boxes=np.asarray(corners, float).reshape(-1, 4),
        categories=[a["category_id"] for a in annotations],
        crowd=[bool(a.get("iscrowd", 0)) for a in annotations],
    )


def input_view(mapped: Mapping[str, Any], key: str = "image") -> View:
    """What a mapper gives in training.

    Args:
        key: ``image`` or ``image_teacher``; both have the same truth.
    """
    image = mapped[key][0].numpy()
    if "labels" in mapped:
        return View(image, labels=mapped["labels"].tolist())
    if "masks" in mapped:
        return View(image, masks=mapped["masks"].numpy())
    truth = mapped["instances"]
    categories = truth.gt_classes.tolist()
    return View(image, boxes=truth.gt_boxes.tensor.numpy(), categories=categories, crowd=[False] * len(categories))


def draw_view(view: View, classes: Sequence[str], height: int, truth: bool = True) -> np.ndarray:
    """The image at a height in pixels, with boxes or masks in the colours of their classes: uint8 RGB."""
    scale = height / view.image.shape[0]
    size = (max(1, round(view.image.shape[1] * scale)), height)
    picture = as_rgb(view.image, *size)
    if not truth:
        return picture
    if view.boxes is not None and len(view.boxes):
        return overlay_boxes(picture, drawn_boxes(view, classes, np.tile([size[0] / view.image.shape[1], scale], 2)))
    if view.masks is not None and (view.masks == 1).any():
        return overlay_masks(picture, view.masks == 1)
    return picture


def drawn_boxes(view: View, classes: Sequence[str], scale: np.ndarray) -> list[Drawn]:
    """The boxes, scaled by (4,) factors; a crowd, which counts neither as hit nor as miss, is dashed."""
    assert view.boxes is not None
    items = zip(view.boxes * scale, view.categories, view.crowd, strict=True)
    return [(box, classes[k], color_of(k), "--" if crowd else "-") for box, k, crowd in items]


def count_boxes(number: int) -> str:
    return {0: "no box", 1: "1 box"}.get(number, f"{number} boxes")


def summary(view: View, classes: Sequence[str]) -> str:
    """The truth in a few words: ``2 present, 1 unknown``, ``3 boxes``, ``2 of 3 classes``."""
    if view.labels is not None:
        present = sum(value > 0 for value in view.labels)
        unknown = sum(map(math.isnan, view.labels))
        return f"{present} of {len(classes)} present" + (f", {unknown} unknown" if unknown else "")
    if view.boxes is not None:
        return count_boxes(len(view.boxes))
    assert view.masks is not None
    return f"{int(np.equal(view.masks, 1).any((1, 2)).sum())} of {len(classes)} classes drawn"


def truth_legend(view: View, classes: Sequence[str]) -> Legend:
    """A text and a colour for everything drawn; classes whose mask nobody drew are named as unknown."""
    if view.labels is not None:
        return [("1 present", PRESENT), ("0 absent", ABSENT), ("? unknown", FAINT)]
    if view.boxes is not None:
        times = Counter(view.categories)
        return [(f"{classes[k]} ({times[k]})", color_of(k)) for k in sorted(times)]
    assert view.masks is not None
    entries: Legend = []
    for k, (name, mask) in enumerate(zip(classes, view.masks, strict=True)):
        if (mask == UNKNOWN).all():
            entries.append((f"{name}: unknown", FAINT))
        elif (mask == 1).any():
            entries.append((f"{name}: {100 * (mask == 1).mean():.3g} % of the image", color_of(k)))
    return entries


def label_list(height: int, width: int, classes: Sequence[str], labels: Sequence[float]) -> np.ndarray:
    """Every class with its label as a sign and a word; where room is short, those that are present come first."""
    step = min(_ROW[1], (height - 2 * GAP) / len(classes))
    order = list(range(len(classes)))
    hidden = 0
    if step < _ROW[0]:
        room = int((height - 2 * GAP) / _ROW[0]) - 1
        order = sorted(sorted(order, key=lambda k: (not labels[k] > 0, not math.isnan(labels[k])))[:room])
        hidden, step = len(classes) - len(order), _ROW[0]
    size = min(TEXT, 0.72 * step)
    board = VisImage(blank(height, width))
    for row, k in enumerate(order):
        text, color = _label(labels[k])
        y = GAP + (row + 0.5) * step
        board.ax.plot([GAP + 7], [y], marker="o", markersize=0.42 * size, markeredgecolor=color,
                      markerfacecolor=color if labels[k] > 0 else "none")  # fmt: skip
        name = shorten(classes[k], width - 110, size)
        write(board, GAP + 20, y, name, FOREGROUND if labels[k] > 0 else FAINT, size=size)
        write(board, width - GAP, y, text, color, size=size, ha="right")
    if hidden:
        write(board, GAP, height - GAP - step / 2, f"and {hidden} more that are absent or unknown", FAINT, size=size)
    return board.get_image()


def _label(value: float) -> tuple[str, Color]:
    if math.isnan(value):
        return "?", FAINT
    return (f"{value:.2g}", PRESENT) if value > 0 else ("0", ABSENT)

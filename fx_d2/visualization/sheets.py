"""Pictures of training data: an image as annotated, and the views that a network gets of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .panels import BACKGROUND, caption_strip, compose
from .truth import View, draw_view, input_view, label_list, stored_view, summary, truth_legend

# Height in pixels of the pictures of an annotated image, and of a tile in a sheet of views.
_HEIGHT, _TILE = 560, 320
_LIST_WIDTH = 340


def annotation_sheet(record: Mapping[str, Any], classes: Sequence[str]) -> np.ndarray:
    """The stored image beside the same with its truth: uint8 RGB.

    Args:
        record: a dataset dict. classes: the class names of its unit.
    """
    view = stored_view(record, len(classes))
    size = f"{view.image.shape[1]} × {view.image.shape[0]} pixels"
    panels = [("Stored", size, draw_view(view, classes, _HEIGHT, truth=False)), _truth_panel(view, classes, _HEIGHT)]
    return compose(record["unit"], str(record["image_id"]), panels, truth_legend(view, classes))


def view_sheet(record: Mapping[str, Any], classes: Sequence[str], views: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """The stored image and several draws of what the network gets, above the student's and below the teacher's view.

    Args:
        views: what the training mapper made of the record, one a draw.
    """
    view = stored_view(record, len(classes))
    plain, truth = ("Stored", "", draw_view(view, classes, _TILE, truth=False)), _truth_panel(view, classes, _TILE)
    # Boxes and masks beside those of the draws; a list of labels below.
    above, below = (plain, truth) if view.labels is not None else (truth, plain)
    panels = [(*above[:2], _stack(above[2], below[:2], below[2]))]
    for number, mapped in enumerate(views, start=1):
        student = input_view(mapped)
        picture = draw_view(student, classes, _TILE)
        if "image_teacher" in mapped:
            teacher = draw_view(input_view(mapped, "image_teacher"), classes, _TILE, truth=False)
            picture = _stack(picture, ("Teacher's view", ""), teacher)
        panels.append((f"Draw {number}", summary(student, classes), _pad(picture, height=panels[0][2].shape[0])))
    return compose(record["unit"], str(record["image_id"]), panels, truth_legend(view, classes))


def _truth_panel(view: View, classes: Sequence[str], height: int) -> tuple[str, str, np.ndarray]:
    if view.labels is not None:
        return "Labels", summary(view, classes), label_list(height, _LIST_WIDTH, classes, view.labels)
    return "Stored, with truth", summary(view, classes), draw_view(view, classes, height)


def _stack(above: np.ndarray, caption: tuple[str, str], below: np.ndarray) -> np.ndarray:
    """Two pictures in a column, with a caption between them; the narrower one is padded."""
    width = max(above.shape[1], below.shape[1])
    return np.concatenate([_pad(row, width=width) for row in (above, caption_strip(width, *caption), below)])


def _pad(picture: np.ndarray, height: int = 0, width: int = 0) -> np.ndarray:
    """A picture enlarged to the given size, if it is smaller, with background below and to the right."""
    room = (max(0, height - picture.shape[0]), max(0, width - picture.shape[1]))
    return np.pad(picture, ((0, room[0]), (0, room[1]), (0, 0)), constant_values=BACKGROUND)


def choose_images(records: Sequence[Mapping[str, Any]], number: int) -> list[Mapping[str, Any]]:
    """Some images to look at, spread over the list; three of four show something, as far as there are such."""
    positive = [record for record in records if _is_positive(record)]
    negative = [record for record in records if not _is_positive(record)]
    count = min(len(positive), max(number - len(negative), -(-3 * number // 4)))
    return _spread(positive, count) + _spread(negative, number - count)


def _is_positive(record: Mapping[str, Any]) -> bool:
    """Whether a label is positive or there is an annotation."""
    return any(value > 0 for value in record["labels"]) if "labels" in record else bool(record["annotations"])


def _spread(records: Sequence[Mapping[str, Any]], number: int) -> list[Mapping[str, Any]]:
    number = min(number, len(records))
    places = np.linspace(0, len(records) - 1, number).round().astype(int) if number else []
    return [records[place] for place in places]

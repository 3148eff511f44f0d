"""The boxes of a user's files: a file in another form than declared is an error, the rest is clipped to its image.

Whatever their format, all boxes of a user's dataset come through here. Published sets are in ``boxes``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detectron2.structures import BoxMode

from ..errors import DataError, count
from ..records import Event

logger = logging.getLogger(__name__)

# Sides below this many pixels, after clipping, are no box; smaller overhangs are rounding.
_TINY = 1e-3
# Rounding of coordinates to whole pixels, and of shares of the image.
_PIXEL, _SHARE = 1.0, 0.01


@dataclass(frozen=True)
class DrawnBox:
    """A box as its file has it.

    Attributes:
        values: x, y, width, height, or with ``corners`` x0, y0, x1, y1; finite.
        size: height and width of the image.
        place: file and row or annotation, for messages.
    """

    values: tuple[float, float, float, float]
    size: tuple[int, int]
    place: str
    corners: bool = False

    @property
    def ends(self) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1 in pixels."""
        x, y, right, lower = self.values
        return self.values if self.corners else (x, y, x + right, y + lower)


def annotate(
    boxes: Sequence[tuple[str, DrawnBox, Mapping[str, Any]]], source: str, events: dict[str, Event]
) -> Iterator[tuple[str, dict]]:
    """Image id and Detectron2 annotation of each box of which something lies in its image.

    Args:
        boxes: image id, box, and the other keys of its annotation.
        source: the file or folder, for messages.
        events: get what was changed or left out.

    Raises:
        DataError: as :func:`check_boxes`.
    """
    check_boxes([box for _, box, _ in boxes], source)
    for image_id, box, others in boxes:
        bbox = place_box(box, events)
        if bbox is not None:
            yield image_id, {"bbox": bbox, "bbox_mode": BoxMode.XYWH_ABS, **others}


def of_classes(
    boxes: Iterable[tuple[str, str, DrawnBox]],
    classes: Sequence[str],
    image_ids: Iterable[str],
    source: Path,
    events: dict[str, Event],
) -> dict[str, dict]:
    """``{image_id: {"annotations": [...]}}`` of the boxes of some classes; the log says how many others there are.

    Args:
        boxes: image id, class name and box.
        image_ids: those that are known, also without any box.
        events: as for :func:`annotate`, and told in the log.

    Raises:
        DataError: as :func:`check_boxes`.
    """
    chosen, others = [], 0
    for image_id, name, box in boxes:
        if name in classes:
            chosen.append((image_id, box, {"category_id": classes.index(name), "iscrowd": 0}))
        else:
            others += 1
    if others:
        what = count(others, "box")
        logger.info("%s: %s of other classes than %s left out", source, what, ", ".join(classes))
    records: dict[str, dict] = {image_id: {"annotations": []} for image_id in image_ids}
    for image_id, annotation in annotate(chosen, str(source), events):
        records[image_id]["annotations"].append(annotation)
    log_events(events)
    return records


def check_boxes(boxes: Sequence[DrawnBox], source: str) -> None:
    """Asks whether the boxes of a task are pixels of their images, in the form that is declared.

    Args:
        source: the file or folder, for messages.

    Raises:
        DataError: more than half of the boxes lie in 0..1, or reach out of their images while all of them are right in
            the other form (corners, or width and height).
    """
    boxes = [box for box in boxes if any(box.values)]  # four zeros stand for "no box" in some files
    shares = [box for box in boxes if are_shares(box.values)]
    if 2 * len(shares) > len(boxes):
        raise DataError(f"{source}: {shares_message(len(shares), len(boxes), 'boxes')} (first: {shares[0].place})")
    sized = [box for box in boxes if not box.corners]
    outside = [box for box in sized if not _inside(box.ends, box.size)]
    if 2 * len(outside) > len(sized) and all(_inside(box.values, box.size) for box in sized):
        raise DataError(
            f"{source}: {len(outside)} of {len(sized)} boxes reach out of their images as x, y, width, height (first: "
            f"{outside[0].place}: {_text(outside[0])}), and all fit as corners x0, y0, x1, y1; if they are corners, "
            "declare it: bbox: xyxy"
        )
    corners = [box for box in boxes if box.corners]
    reversed_ = [box for box in corners if box.values[2] < box.values[0] or box.values[3] < box.values[1]]
    if 2 * len(reversed_) > len(corners):
        raise DataError(
            f"{source}: {len(reversed_)} of {len(corners)} boxes end before they begin as corners x0, y0, x1, y1 "
            f"(first: {reversed_[0].place}: {_text(reversed_[0])}); if they are x, y, width, height, declare "
            "bbox: xywh, which is the default"
        )


def place_box(box: DrawnBox, events: dict[str, Event]) -> list[float] | None:
    """x, y, width, height within the image, None if nothing of the box is left; the events count what was changed,
    and boxes of less than a pixel, which are kept."""
    left, upper, right, lower = box.ends
    x0, x1 = max(left, 0.0), min(right, float(box.size[1]))
    y0, y1 = max(upper, 0.0), min(lower, float(box.size[0]))
    if x1 - x0 < _TINY or y1 - y0 < _TINY:
        note(events, "boxes outside the image or without an area left out", box.place)
        return None
    if max(x0 - left, right - x1, y0 - upper, lower - y1) > _TINY:
        note(events, "boxes clipped to the image", box.place)
    if min(x1 - x0, y1 - y0) < 1 - _TINY:
        note(events, "boxes that are narrower or lower than a pixel, kept", box.place)
    return [x0, y0, x1 - x0, y1 - y0]


def are_shares(values: Sequence[float]) -> bool:
    """Whether coordinates lie in 0..1, rounding aside: as pixels they would be one corner of the image."""
    return -_SHARE <= min(values) and max(values) <= 1 + _SHARE


def shares_message(number: int, total: int, things: str) -> str:
    who = f"all {total}" if number == total else f"{number} of {total}"
    return (
        f"{who} {things} lie in 0..1: shares of the image, not pixels; multiply x and width by the image's width, "
        "y and height by its height"
    )


def note(events: dict[str, Event], reason: str, place: str) -> None:
    events.setdefault(reason, Event(first=place)).times += 1


def log_events(events: Mapping[str, Event]) -> None:
    for reason, event in events.items():
        logger.warning("%d %s (first: %s)", event.times, reason, event.first)


def _inside(ends: Sequence[float], size: tuple[int, int]) -> bool:
    x0, y0, x1, y1 = ends
    return -_PIXEL <= x0 <= x1 <= size[1] + _PIXEL and -_PIXEL <= y0 <= y1 <= size[0] + _PIXEL


def _text(box: DrawnBox) -> str:
    return ", ".join(f"{value:g}" for value in box.values)

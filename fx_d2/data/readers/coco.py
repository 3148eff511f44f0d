"""Boxes and masks from a COCO JSON file."""

from __future__ import annotations

import json
import logging
import math
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from detectron2.structures import BoxMode

from ..errors import DataError, count, nearest
from ..masks import check_polygons, marks_pixels, mask_annotation
from ..records import Event
from ..rle import check_run_lengths
from .image_index import ImageIndex

logger = logging.getLogger(__name__)

# Sides below this many pixels, after clipping, are no box; smaller overhangs are rounding.
_TINY = 1e-3


@dataclass
class CocoFile:
    """Annotations of a box task or of a mask task.

    Images without annotations are negatives and are kept. An image that the file does not list is unknown: it is
    not in the result.

    Attributes:
        path: the JSON file.
        task: ``box`` (reads ``bbox``) or ``mask`` (reads ``segmentation``).
        selected: names of the categories that are classes, in order; None takes all in the order of their ids.
        events: what the last reading met and went on from, by reason.
    """

    path: Path
    task: str
    selected: tuple[str, ...] | None = None
    events: dict[str, Event] = field(default_factory=dict, init=False)

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.path,)

    @cached_property
    def content(self) -> dict[str, Any]:
        """The parsed file, with its lists checked to be lists of records.

        Raises:
            DataError: bad syntax (the message names the line), or not COCO's form.
        """
        content = read_json(self.path)
        for key in ("images", "categories", "annotations"):
            if not isinstance(content, dict) or not isinstance(content.get(key), list):
                raise DataError(f"{self.path}: not a COCO file: the list {key!r} is missing")
            if not all(isinstance(record, dict) for record in content[key]):
                raise DataError(f"{self.path}: an entry of {key!r} is not a record {{...}}")
        return content

    @cached_property
    def categories(self) -> dict[Any, str]:
        """Category names by id, in the order of the ids."""
        names: dict[Any, str] = {}
        for number, record in enumerate(self.content["categories"]):
            category_id, name = need(record, "id", f"{self.path}: categories[{number}]"), record.get("name")
            if not isinstance(name, str) or not name.strip():
                raise DataError(f"{self.path}: category {category_id!r} has no name")
            if category_id in names or name.strip() in names.values():
                raise DataError(f"{self.path}: category id {category_id!r} or name {name!r} occurs twice")
            names[category_id] = name.strip()
        if not names:
            raise DataError(f"{self.path}: there are no categories")
        return dict(sorted(names.items(), key=lambda item: (isinstance(item[0], str), item[0])))

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Class names in order."""
        return tuple(self.categories.values()) if self.selected is None else self.selected

    def read(self, index: ImageIndex) -> dict[str, dict]:
        """``{image_id: {"annotations": [...]}}``, for masks with ``unknown_classes`` (always empty here).

        Raises:
            DataError: an image, a category or an annotation is wrong; the message names its id.
        """
        for name in self.classes:
            if name not in self.categories.values():
                known = nearest(name, self.categories.values(), "categories")
                raise DataError(f"{self.path}: no category {name!r} (key classes); {known}")
        positions = {
            category_id: self.classes.index(name) if name in self.classes else None
            for category_id, name in self.categories.items()
        }
        images = self._images(index)
        fields = ("annotations", "unknown_classes") if self.task == "mask" else ("annotations",)
        records: dict[str, dict] = {image_id: {field: [] for field in fields} for image_id in images.values()}
        self.events = {}
        seen, others = set(), 0
        for number, annotation in enumerate(self.content["annotations"]):
            annotation_id = need(annotation, "id", f"{self.path}: annotations[{number}]")
            where = f"{self.path}: annotation {annotation_id!r}"
            if annotation_id in seen:
                raise DataError(f"{where}: the id occurs twice")
            seen.add(annotation_id)
            image_id, position = self._target(annotation, images, positions, where)
            if position is None:
                others += 1
                continue
            record = self._annotation(annotation, position, index.size(image_id), where)
            if record is not None:
                records[image_id]["annotations"].append(record)
        self._report(others)
        return records

    def _images(self, index: ImageIndex) -> dict[Any, str]:
        """Image ids of the index by id of the file, with the sizes compared."""
        entries = self.content["images"]
        if not entries:
            raise DataError(f"{self.path}: the list 'images' is empty")
        names = []
        for number, record in enumerate(entries):
            where = f"images[{number}]"
            image_id, name = (need(record, key, f"{self.path}: {where}") for key in ("id", "file_name"))
            names.append((str(name), f"image id {image_id!r}"))
        repeated = [key for key, times in Counter(record["id"] for record in entries).items() if times > 1]
        if repeated:
            raise DataError(f"{self.path}: image id {repeated[0]!r} occurs twice; ids must be unique")
        ids = index.resolve(names, self.path)
        index.read_sizes(ids)
        for image_id, record in zip(ids, entries, strict=True):
            height, width = index.size(image_id)
            if record.get("height", height) != height or record.get("width", width) != width:
                raise DataError(
                    f"{self.path}: image id {record['id']!r} is said to be {record.get('width')} x "
                    f"{record.get('height')} pixels (width x height), but {index.path(image_id)} is {width} x {height}"
                    "; the annotations belong to another version of the image"
                )
        return {record["id"]: image_id for image_id, record in zip(ids, entries, strict=True)}

    def _target(self, annotation: dict, images: dict, positions: dict, where: str) -> tuple[str, int | None]:
        image, category = (need(annotation, key, where) for key in ("image_id", "category_id"))
        if image not in images:
            raise DataError(f"{where}: image_id {image!r} is not among the file's images")
        if category not in positions:
            known = ", ".join(f"{key} {name}" for key, name in self.categories.items())
            raise DataError(f"{where}: category_id {category!r} is not among the file's categories ({known})")
        return images[image], positions[category]

    def _annotation(self, annotation: dict, position: int, size: tuple[int, int], where: str) -> dict | None:
        common = {"category_id": position, "iscrowd": int(annotation.get("iscrowd") or 0)}
        if self.task == "box":
            bbox = self._box(annotation, size, where)
            return None if bbox is None else {"bbox": bbox, "bbox_mode": BoxMode.XYWH_ABS, **common}
        segmentation = annotation.get("segmentation")
        if not isinstance(segmentation, list | dict):
            raise DataError(f"{where}: no segmentation; task mask needs one (a file with boxes alone is for task box)")
        try:
            drawn = self._drawn(segmentation, size, annotation["id"])
        except DataError as error:
            raise DataError(f"{where}: {error}") from None
        return mask_annotation(drawn, position, common["iscrowd"]) if drawn else None

    def _drawn(self, segmentation: list | dict, size: tuple[int, int], annotation_id: Any) -> list | dict:
        """What of a segmentation marks a pixel of the image; empty where nothing does. Both are counted."""
        if isinstance(segmentation, dict):
            drawn: list | dict = segmentation if check_run_lengths(segmentation, *size)[1::2].any() else {}
        else:
            check_polygons(segmentation)
            drawn = [polygon for polygon in segmentation if marks_pixels(polygon, *size)]
        if not drawn:
            self._note("masks that mark no pixel of the image left out", annotation_id)
        elif isinstance(drawn, list) and len(drawn) < len(segmentation):
            self._note("masks of which a polygon marks no pixel of the image and was left out", annotation_id)
        return drawn

    def _box(self, annotation: dict, size: tuple[int, int], where: str) -> list[float] | None:
        """The box within the image, None if nothing of it is left; both are counted."""
        bbox = annotation.get("bbox")
        if not isinstance(bbox, list) or len(bbox) != 4 or not all(_finite(value) for value in bbox):
            raise DataError(f"{where}: bbox {bbox!r} is not four finite numbers x, y, width, height")
        x, y, width, height = (float(value) for value in bbox)
        x0, x1 = max(x, 0.0), min(x + width, float(size[1]))
        y0, y1 = max(y, 0.0), min(y + height, float(size[0]))
        if x1 - x0 < _TINY or y1 - y0 < _TINY:
            self._note("boxes outside the image or without an area left out", annotation["id"])
            return None
        if max(abs(x - x0), abs(x + width - x1), abs(y - y0), abs(y + height - y1)) > _TINY:
            self._note("boxes clipped to the image", annotation["id"])
        return [x0, y0, x1 - x0, y1 - y0]

    def _note(self, reason: str, annotation_id: Any) -> None:
        event = self.events.setdefault(reason, Event(first=f"{self.path}: annotation {annotation_id!r}"))
        event.times += 1

    def _report(self, others: int) -> None:
        for reason, event in self.events.items():
            logger.warning("%d %s (first: %s)", event.times, reason, event.first)
        if others:
            logger.info(
                "%s: %s of categories that are not among the classes %s",
                self.path,
                count(others, "annotation"),
                ", ".join(self.classes),
            )


def read_json(path: Path) -> Any:
    """Parses a JSON file.

    Raises:
        DataError: bad syntax, with line and column.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}, line {error.lineno}, column {error.colno}: not valid JSON: {error.msg}") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: not a text file in UTF-8") from None
    except (RecursionError, ValueError) as error:  # nested without end, or a number of thousands of digits
        raise DataError(f"{path}: not valid JSON: {error}") from None


def need(record: dict, key: str, where: str) -> Any:
    """A key of a record, usable as an id or name."""
    value = record.get(key)
    if isinstance(value, bool) or not isinstance(value, str | int):
        what = repr(value) if key in record else "missing"
        raise DataError(f"{where}: {key} is {what}; a whole number or text is needed")
    return value


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)

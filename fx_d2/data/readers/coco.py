"""Boxes and masks from a COCO JSON file."""

from __future__ import annotations

import json
import logging
import math
from collections import Counter
from collections.abc import Iterator
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
from .user_boxes import DrawnBox, annotate, are_shares, log_events, note, shares_message

logger = logging.getLogger(__name__)

# Forms of a box, by the words of the YAML file and by the numbers of Detectron2's BoxMode.
BOX_MODES = {"xywh": "xywh", "xyxy": "xyxy", int(BoxMode.XYWH_ABS): "xywh", int(BoxMode.XYXY_ABS): "xyxy"}


@dataclass(frozen=True)
class CocoOptions:
    """What a user may say about a file.

    Attributes:
        bbox: form of the boxes, ``xywh`` or ``xyxy``; an annotation's own ``bbox_mode`` goes before it.
        drop_empty: annotations with an empty segmentation are left out and counted, not an error.
    """

    bbox: str = "xywh"
    drop_empty: bool = False


@dataclass(frozen=True)
class Found:
    """An annotation of a class, its image, the class's position, and the annotation's place for messages."""

    annotation: dict
    image_id: str
    position: int
    place: str

    @property
    def common(self) -> dict:
        return {"category_id": self.position, "iscrowd": int(self.annotation.get("iscrowd") or 0)}


@dataclass
class CocoFile:
    """Annotations of a box task or of a mask task.

    Images without annotations are negatives and are kept. An image that the file does not list is unknown: it is
    not in the result.

    Attributes:
        path: the JSON file.
        task: ``box`` (reads ``bbox``) or ``mask`` (reads ``segmentation``).
        selected: names of the categories that are classes, in order; None takes all in the order of their ids.
        options: what the user says about the file.
        events: what the last reading met and went on from, by reason.
    """

    path: Path
    task: str
    selected: tuple[str, ...] | None = None
    options: CocoOptions = CocoOptions()
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
        found = list(self._of_classes(images, positions))
        for image_id, record in self._boxes(found, index) if self.task == "box" else self._masks(found, index):
            records[image_id]["annotations"].append(record)
        log_events(self.events)
        return records

    def _of_classes(self, images: dict, positions: dict) -> Iterator[Found]:
        """The annotations of the classes; those of other categories are counted in the log."""
        seen, others = set(), 0
        for number, annotation in enumerate(self.content["annotations"]):
            annotation_id = need(annotation, "id", f"{self.path}: annotations[{number}]")
            place = f"{self.path}: annotation {annotation_id!r}"
            if annotation_id in seen:
                raise DataError(f"{place}: the id occurs twice")
            seen.add(annotation_id)
            image_id, position = self._target(annotation, images, positions, place)
            if position is None:
                others += 1
            else:
                yield Found(annotation, image_id, position, place)
        if others:
            what = count(others, "annotation")
            classes = ", ".join(self.classes)
            logger.info("%s: %s of categories that are not among the classes %s", self.path, what, classes)

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

    def _boxes(self, found: list[Found], index: ImageIndex) -> Iterator[tuple[str, dict]]:
        """Detectron2 annotations of boxes with their images."""
        boxes = [(item.image_id, self._box(item, index.size(item.image_id)), item.common) for item in found]
        return annotate(boxes, str(self.path), self.events)

    def _box(self, found: Found, size: tuple[int, int]) -> DrawnBox:
        bbox, mode = found.annotation.get("bbox"), found.annotation.get("bbox_mode", self.options.bbox)
        if not isinstance(bbox, list) or len(bbox) != 4 or not all(_finite(value) for value in bbox):
            raise DataError(f"{found.place}: bbox {bbox!r} is not four finite numbers x, y, width, height")
        if isinstance(mode, bool) or not isinstance(mode, str | int) or mode not in BOX_MODES:
            raise DataError(f"{found.place}: bbox_mode {mode!r}; {', '.join(map(str, BOX_MODES))} are read")
        x, y, width, height = map(float, bbox)
        return DrawnBox((x, y, width, height), size, found.place, corners=BOX_MODES[mode] == "xyxy")

    def _masks(self, found: list[Found], index: ImageIndex) -> Iterator[tuple[str, dict]]:
        """Detectron2 annotations of masks with their images."""
        for item in found:
            if not isinstance(item.annotation.get("segmentation"), list | dict):
                hint = "task mask needs one (a file with boxes alone is for task box)"
                raise DataError(f"{item.place}: no segmentation; {hint}")
        drawn = [item for item in found if item.annotation["segmentation"] not in ([], [[]])]
        self._drop_empty([item for item in found if item.annotation["segmentation"] in ([], [[]])], bool(drawn))
        self._check_shares(drawn)
        for item in drawn:
            try:
                segmentation = self._drawn(item.annotation["segmentation"], index.size(item.image_id), item.place)
            except DataError as error:
                raise DataError(f"{item.place}: {error}") from None
            if segmentation:
                yield item.image_id, mask_annotation(segmentation, item.common["category_id"], item.common["iscrowd"])

    def _drop_empty(self, empty: list[Found], others: bool) -> None:
        """Masks that the file leaves empty: an error, or counted where the option says so."""
        if empty and not (others and self.options.drop_empty):
            first = f"{count(len(empty), 'annotation')} with an empty segmentation (first: {empty[0].place})"
            raise DataError(
                f"{self.path}: {first}; draw or delete them, or write empty_masks: drop, and each is left out as if it "
                "were not there"
                if others
                else f"{self.path}: all {first}; a file with boxes alone is for task box"
            )
        for item in empty:
            note(self.events, "annotations with an empty segmentation left out (empty_masks: drop)", item.place)

    def _check_shares(self, found: list[Found]) -> None:
        """An error if more than half of the masks are polygons in 0..1."""
        shares = [item for item in found if _in_shares(item.annotation["segmentation"])]
        if 2 * len(shares) > len(found):
            what = shares_message(len(shares), len(found), "masks")
            raise DataError(f"{self.path}: {what} (first: {shares[0].place})")

    def _drawn(self, segmentation: list | dict, size: tuple[int, int], place: str) -> list | dict:
        """What of a segmentation marks a pixel of the image; empty where nothing does. Both are counted."""
        if isinstance(segmentation, dict):
            drawn: list | dict = segmentation if check_run_lengths(segmentation, *size)[1::2].any() else {}
        else:
            check_polygons(segmentation)
            drawn = [polygon for polygon in segmentation if marks_pixels(polygon, *size)]
        if not drawn:
            note(self.events, "masks that mark no pixel of the image left out", place)
        elif isinstance(drawn, list) and len(drawn) < len(segmentation):
            note(self.events, "masks of which a polygon marks no pixel of the image and was left out", place)
        if isinstance(drawn, list) and drawn and all(map(_is_thin, drawn)):
            note(self.events, "masks that are narrower or lower than a pixel, kept", place)
        return drawn


def _is_thin(polygon: list) -> bool:
    return any(max(polygon[axis::2]) - min(polygon[axis::2]) < 1 for axis in (0, 1))


def _in_shares(segmentation: list | dict) -> bool:
    """Whether a segmentation is polygons whose points all lie in 0..1; one that is no polygon is not."""
    polygons = segmentation if isinstance(segmentation, list) else []
    values = [value for polygon in polygons if isinstance(polygon, list) for value in polygon]
    return bool(values) and all(_finite(value) for value in values) and are_shares(values)


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

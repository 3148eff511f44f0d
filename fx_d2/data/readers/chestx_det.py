"""ChestX-Det: a JSON list with parallel arrays of findings, corner boxes and polygons for each image."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from .. import labels
from ..errors import DataError, nearest
from ..masks import check_polygons, mask_annotation
from ..records import ReadReport, TaskRecord
from .boxes import box_annotation, from_corners, numbers
from .coco import read_json
from .published import PublishedReader


class ChestXDet(PublishedReader):
    """Image id: the file's name, ``36199.png``. An image with empty lists is a negative for all classes."""

    folder: ClassVar = ("chestxdet",)
    anchors: ClassVar = ("ChestX_Det_train.json", "ChestX_Det_test.json")
    layout: ClassVar = (
        "ChestX_Det_train.json, ChestX_Det_test.json and the images of train_data.zip and test_data.zip, in folders of "
        "any name"
    )
    frame: ClassVar = (1024, 1024)

    def tasks(self) -> dict[str, TaskRecord]:
        return {task: TaskRecord(labels.CHESTX_DET) for task in ("cls", "box", "mask")}

    def parts(self, task: str) -> Mapping[str, Mapping[str, float]]:
        return {"train": {"train": 0.9, "val": 0.1}, "test": {"test": 1.0}}

    @cached_property
    def _entries(self) -> dict[str, list[dict[str, Any]]]:
        """The checked entries of each file that has been asked for."""
        return {}

    def _read(self, part: str) -> list[dict[str, Any]]:
        if part not in self._entries:
            path = self.tree.file(f"ChestX_Det_{part}.json")
            entries = read_json(path)
            if not isinstance(entries, list) or not entries:
                raise DataError(f"{path}: a list of images with file_name, syms, boxes, polygons is expected")
            for number, entry in enumerate(entries):
                self._check(entry, f"{path}: entry {number}")
            self._entries[part] = entries
        return self._entries[part]

    @staticmethod
    def _check(entry: Any, place: str) -> None:
        keys = ("syms", "boxes", "polygons")
        if not isinstance(entry, dict) or not isinstance(entry.get("file_name"), str):
            raise DataError(f"{place}: a record with file_name is expected")
        if not all(isinstance(entry.get(key), list) for key in keys):
            raise DataError(f"{place} ({entry['file_name']}): the lists {', '.join(keys)} are expected")
        if len({len(entry[key]) for key in keys}) > 1:
            lengths = ", ".join(f"{len(entry[key])} {key}" for key in keys)
            raise DataError(f"{place} ({entry['file_name']}): {lengths}; the lists must be of one length")

    def images(self, part: str) -> Mapping[str, str]:
        return {entry["file_name"]: "" for entry in self._read(part)}

    def known(self, part: str, images: Mapping[str, str]) -> set[str]:
        # The folders of the two zips have no fixed names, so every image of the tree is looked at.
        parts = [name for name in ("train", "test") if self.tree.look_for(f"ChestX_Det_{name}.json")]
        return {entry["file_name"] for name in parts for entry in self._read(name)}

    def folders(self, part: str) -> list[Path]:
        return self.tree.roots

    def truth(self, task: str, part: str, split_of: Mapping[str, str], report: ReadReport) -> dict[str, dict]:
        path = str(self.tree.file(f"ChestX_Det_{part}.json"))
        report.files.append(path)
        fields: dict[str, dict] = {}
        for number, entry in enumerate(self._read(part)):
            image, place = entry["file_name"], f"{path}: entry {number} ({entry['file_name']})"
            if image in fields:
                report.note("entries that repeat an image left out", place)
                continue
            positions = [self._position(name, place) for name in entry["syms"]]
            if task == "cls":
                fields[image] = {"labels": [float(k in positions) for k in range(len(labels.CHESTX_DET))]}
            elif task == "box":
                fields[image] = {"annotations": self._boxes(entry, positions, place, report)}
            else:
                fields[image] = {"annotations": self._masks(entry, positions, place), "unknown_classes": []}
        return fields

    @staticmethod
    def _position(name: Any, place: str) -> int:
        if name not in labels.CHESTX_DET:
            raise DataError(f"{place}: class {name!r}; {nearest(name, labels.CHESTX_DET, 'classes')}")
        return labels.CHESTX_DET.index(name)

    def _boxes(self, entry: dict, positions: list[int], place: str, report: ReadReport) -> list[dict]:
        annotations = []
        for k, (corners, category) in enumerate(zip(entry["boxes"], positions, strict=True)):
            where = f"{place}, box {k}"
            box = from_corners(numbers(corners if isinstance(corners, list) else [corners], where), where)
            annotations.append(box_annotation(box, category, self.frame, where, report))
        return [annotation for annotation in annotations if annotation is not None]

    def _masks(self, entry: dict, positions: list[int], place: str) -> list[dict]:
        annotations = []
        for k, (points, category) in enumerate(zip(entry["polygons"], positions, strict=True)):
            flat = [[value for point in points for value in point]] if _is_polygon(points) else [points]
            try:
                check_polygons(flat)
            except DataError as error:
                raise DataError(f"{place}, polygon {k}: {error}") from None
            annotations.append(mask_annotation(flat, category))
        return annotations


def _is_polygon(points: Any) -> bool:
    return isinstance(points, list) and all(isinstance(point, list) and len(point) == 2 for point in points)

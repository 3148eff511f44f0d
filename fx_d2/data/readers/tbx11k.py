"""TBX11K: COCO files in the frame of the 512 x 512 pictures; the folder says healthy, sick or tuberculosis."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from .. import labels
from ..errors import DataError, nearest
from ..records import ReadReport, TaskRecord
from .boxes import box_annotation, numbers
from .coco import CocoFile, need
from .published import PublishedReader

_NAMES = ("ActiveTuberculosis", "ObsoletePulmonaryTuberculosis", "PulmonaryTuberculosis")


class Tbx11k(PublishedReader):
    """Image id: ``tb/tb0005.png``, as the files have it. XML files are not read: their boxes are in another frame."""

    folder: ClassVar = ("tbx11k",)
    anchors: ClassVar = ("TBX11K_train.json",)
    layout: ClassVar = "TBX11K/imgs/{health,sick,tb}/*.png, TBX11K/annotations/json/TBX11K_{train,val}.json"

    def tasks(self) -> dict[str, TaskRecord]:
        boxed = labels.TBX11K_TYPES if self.options["classes"] == "types" else labels.TUBERCULOSIS
        return {"cls": TaskRecord(labels.TUBERCULOSIS), "box": TaskRecord(boxed)}

    def parts(self, task: str) -> Mapping[str, Mapping[str, float]]:
        if self.options["splits"] == "three":
            return {"train": {"train": 0.9, "val": 0.1}, "val": {"test": 1.0}}
        return {"train": {"train": 1.0}, "val": {"val": 1.0}}

    def _coco(self, part: str) -> CocoFile:
        if part not in self._read_files:
            self._read_files[part] = CocoFile(self.tree.file(f"TBX11K_{part}.json"), "box")
        return self._read_files[part]

    @cached_property
    def _read_files(self) -> dict[str, CocoFile]:
        return {}

    def _entries(self, part: str) -> dict[Any, dict]:
        """The images of a file by their number."""
        coco = self._coco(part)
        entries = {}
        for number, entry in enumerate(coco.content["images"]):
            place = f"{coco.path}: images[{number}]"
            key = need(entry, "id", place)
            if key in entries:
                raise DataError(f"{place}: image id {key!r} occurs twice; ids must be unique")
            if not str(need(entry, "file_name", place)).count("/"):
                raise DataError(f"{place}: file_name {entry['file_name']!r} has no folder, so its class is not known")
            entries[key] = entry
        return entries

    def images(self, part: str) -> Mapping[str, str]:
        return {entry["file_name"]: "" for entry in self._entries(part).values()}

    def known(self, part: str, images: Mapping[str, str]) -> set[str]:
        files = [name for name in ("train", "val") if self.tree.look_for(f"TBX11K_{name}.json")]
        return {entry["file_name"] for name in files for entry in self._entries(name).values()}

    def folders(self, part: str) -> list[Path]:
        # test/ and extra/ lie beside these: without truth, and with images of other sets.
        tops = self.tree.folders("imgs")
        return [path for name in ("health", "sick", "tb") for top in tops if (path := top / name).is_dir()]

    def truth(self, task: str, part: str, split_of: Mapping[str, str], report: ReadReport) -> dict[str, dict]:
        report.files.append(str(self._coco(part).path))
        if task == "cls":
            return {name: {"labels": [float(name.startswith("tb/"))]} for name in split_of}
        fields = self._boxes(part, report)
        for name in [name for name, entry in fields.items() if name.startswith("tb/") and not entry["annotations"]]:
            # Tuberculosis that nobody put a box round is unknown, not absent.
            report.note("tuberculosis images without a box left out", f"{self._coco(part).path}: {name}")
            del fields[name]
        return fields

    def _boxes(self, part: str, report: ReadReport) -> dict[str, dict]:
        coco, entries = self._coco(part), self._entries(part)
        sizes = {key: self._size(entry, coco.path) for key, entry in entries.items()}
        fields: dict[str, dict] = {
            entry["file_name"]: {"annotations": [], "height": sizes[key][0], "width": sizes[key][1]}
            for key, entry in entries.items()
        }
        for number, annotation in enumerate(coco.content["annotations"]):
            place = f"{coco.path}: annotation {annotation.get('id', number)!r}"
            image, category = (need(annotation, key, place) for key in ("image_id", "category_id"))
            if image not in entries:
                raise DataError(f"{place}: image_id {image!r} is not among the file's images")
            if category not in coco.categories:
                known = ", ".join(f"{key} {name}" for key, name in coco.categories.items())
                raise DataError(f"{place}: category_id {category!r} is not among the file's categories ({known})")
            position = self._position(coco.categories[category], place)
            box = annotation.get("bbox")
            box = numbers(box if isinstance(box, list) else [box], place)
            if position is None:
                report.note("boxes of uncertain type left out", place)
                continue
            found = box_annotation(box, position, sizes[image], place, report)
            fields[entries[image]["file_name"]]["annotations"] += [found] if found else []
        return fields

    def _position(self, name: str, place: str) -> int | None:
        """The class of a category: the only one, or the type; None for a type that nobody knew."""
        if name not in _NAMES:
            raise DataError(f"{place}: category {name!r}; {nearest(name, _NAMES, 'categories')}")
        if self.options["classes"] == "one":
            return 0
        return _NAMES.index(name) if _NAMES.index(name) < len(labels.TBX11K_TYPES) else None

    @staticmethod
    def _size(entry: Mapping[str, Any], path: Path) -> tuple[int, int]:
        height, width = entry.get("height"), entry.get("width")
        if not (isinstance(height, int) and isinstance(width, int) and height > 0 and width > 0):
            raise DataError(
                f"{path}: image {entry['file_name']!r}: height and width {height, width} must be whole numbers above 0"
            )
        return height, width

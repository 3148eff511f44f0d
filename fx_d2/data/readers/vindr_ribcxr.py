"""VinDr-RibCXR: polygons of twenty ribs in a dictionary of columns."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from .. import labels
from ..errors import DataError
from ..laterality import derive_pairs
from ..masks import check_polygons, mask_annotation
from ..records import ReadReport, TaskRecord
from .coco import read_json
from .published import PublishedReader

# A rib that is not there is this text, not null.
_ABSENT = "None"


class VinDrRibCxr(PublishedReader):
    """Image id: the file's name; the folders in the file are not those of every copy. R is the patient's right."""

    folder: ClassVar = ("vindrribcxr", "ribcxr")
    anchors: ClassVar = ("Vindr_RibCXR_train_mask.json",)
    layout: ClassVar = "data/{train,val}/img/*.png, data/train/Vindr_RibCXR_train_mask.json, data/val/..._val_mask.json"

    def tasks(self) -> dict[str, TaskRecord]:
        notes = "a rib that the file gives as 'None' counts as absent, as the publisher's code has it"
        return {"mask": TaskRecord(labels.RIBS, lateral_pairs=derive_pairs(labels.RIBS), notes=notes)}

    def parts(self, task: str) -> Mapping[str, Mapping[str, float]]:
        if self.options["splits"] == "three":
            return {"train": {"train": 0.9, "val": 0.1}, "val": {"test": 1.0}}
        return {"train": {"train": 1.0}, "val": {"val": 1.0}}

    @cached_property
    def _contents(self) -> dict[str, dict[str, Any]]:
        return {}

    def _content(self, part: str) -> dict[str, Any]:
        if part not in self._contents:
            path = self.tree.file(f"Vindr_RibCXR_{part}_mask.json")
            content = read_json(path)
            for key in ("img", *labels.RIBS):
                if not isinstance(content, dict) or not isinstance(content.get(key), dict):
                    raise DataError(f"{path}: the column {key!r}, a record by image number, is missing")
            self._contents[part] = content
        return self._contents[part]

    def images(self, part: str) -> Mapping[str, str]:
        return {PurePosixPath(str(name)).name: "" for name in self._content(part)["img"].values()}

    def known(self, part: str, images: Mapping[str, str]) -> set[str]:
        parts = [name for name in ("train", "val") if self.tree.look_for(f"Vindr_RibCXR_{name}_mask.json")]
        return {image for name in parts for image in self.images(name)}

    def folders(self, part: str) -> list[Path]:
        return self.tree.roots

    def truth(self, task: str, part: str, split_of: Mapping[str, str], report: ReadReport) -> dict[str, dict]:
        path = self.tree.file(f"Vindr_RibCXR_{part}_mask.json")
        report.files.append(str(path))
        content, fields = self._content(part), {}
        for number, name in content["img"].items():
            annotations = []
            for category, rib in enumerate(labels.RIBS):
                points = content[rib].get(number, _ABSENT)
                if points == _ABSENT:
                    report.note("ribs that are absent", f"{path}: {rib} of {name}")
                    continue
                polygon = self._polygon(points, f"{path}: {rib} of image {number} ({name})")
                annotations.append(mask_annotation([polygon], category))
            fields[PurePosixPath(str(name)).name] = {"annotations": annotations, "unknown_classes": []}
        return fields

    @staticmethod
    def _polygon(points: Any, place: str) -> list[float]:
        try:
            flat = [point[axis] for point in points for axis in ("x", "y")]
            check_polygons([flat])
        except (TypeError, KeyError):
            raise DataError(f"{place}: a list of points {{x, y}} is expected, or the text 'None'") from None
        except DataError as error:
            raise DataError(f"{place}: {error}") from None
        return flat

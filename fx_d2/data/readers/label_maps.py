"""Masks as label maps: one picture per image whose pixels hold the number of a structure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import rle
from ..errors import DataError
from ..images import read_label_map
from ..masks import mask_annotation
from .image_index import ImageIndex
from .mask_pictures import check_size, look_at_all, match_pictures


@dataclass
class LabelMaps:
    """Masks of a mask task. A map says of every class where it is and, by its absence, that it is not there.

    Attributes:
        folder: of the maps, named as :class:`MaskFolders` has it.
        labels: class name by pixel value, from 1; 0 is background.
        classes: those that are used, in their order; the others count as background.
        suffix: what follows the image's name before ``.png``, or another of ``images.MASK_SUFFIXES``.
    """

    folder: Path
    labels: Mapping[int, str]
    classes: tuple[str, ...]
    suffix: str = ""

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.folder,)

    def read(self, index: ImageIndex) -> dict[str, dict]:
        """``{image_id: {"annotations": [...], "unknown_classes": []}}``; an image without a map is not in it.

        Raises:
            DataError: the folder fits no image; a map cannot be read, is of another size than its image, or holds a
                value without a label.
        """
        found = match_pictures(self.folder, self.suffix, index, "label map")
        index.read_sizes(sorted(found))
        for image_id, path in found.items():
            check_size(path, image_id, index)
        annotations = look_at_all(list(found.values()), self._read_map)
        return {
            image_id: {"annotations": entries, "unknown_classes": []}
            for image_id, entries in zip(found, annotations, strict=True)
        }

    def _read_map(self, path: Path) -> list[dict]:
        values = read_label_map(path)
        there = np.flatnonzero(np.bincount(values.ravel())).tolist()
        for value in there:
            if value and value not in self.labels:
                known = ", ".join(map(str, self.labels))
                number = np.count_nonzero(values == value)
                raise DataError(
                    f"{path}: {number} pixels have the value {value}, and labels names {known}; name it there, too "
                    "(classes chooses those to train)"
                )
        names = [(value, self.labels[value]) for value in there if value]
        return [
            mask_annotation(rle.from_mask(values == value), self.classes.index(name))
            for value, name in names
            if name in self.classes
        ]

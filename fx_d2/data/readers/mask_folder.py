"""Masks as pictures: one folder per class, one picture per image."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..images import is_soft_mask, read_header
from ..masks import mask_annotation
from ..records import Event
from .image_index import ImageIndex
from .mask_pictures import check_size, look_at_all, match_pictures

logger = logging.getLogger(__name__)


@dataclass
class MaskFolders:
    """Masks of a mask task.

    The mask of ``a/b.jpg`` is ``a/b<suffix>.png`` or ``b<suffix>.png`` in the class's folder, not zero inside
    (:func:`fx_d2.data.images.read_mask`). An image without a file is unknown for that class; an image without any is
    not in the result. A mask file that is all zero says that the class is absent.

    Attributes:
        folders: by class name, in the order of the classes.
        suffix: what follows the image's name before ``.png``, or another of ``images.MASK_SUFFIXES``.
        events: what the last reading met and went on from, by reason.
    """

    folders: Mapping[str, Path]
    suffix: str = ""
    events: dict[str, Event] = field(default_factory=dict, init=False)

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(self.folders.values())

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.folders)

    def read(self, index: ImageIndex) -> dict[str, dict]:
        """``{image_id: {"annotations": [...], "unknown_classes": [...]}}``.

        Raises:
            DataError: a folder matches no image, or a mask cannot be read, is of another size than its image, or has
                levels that are not two groups.
        """
        found: dict[str, dict[int, Path]] = {}
        for number, (name, folder) in enumerate(self.folders.items()):
            for image_id, path in match_pictures(folder, self.suffix, index, f"mask of class {name!r}").items():
                found.setdefault(image_id, {})[number] = path
        index.read_sizes(sorted(found))
        records = {}
        for image_id, masks in found.items():
            for path in masks.values():
                check_size(path, image_id, index)
        self._check_levels([path for masks in found.values() for path in masks.values()])
        for image_id, masks in found.items():
            records[image_id] = {
                "annotations": [mask_annotation({"png": str(path)}, number) for number, path in masks.items()],
                "unknown_classes": [number for number in range(len(self.folders)) if number not in masks],
            }
        return records

    def _check_levels(self, paths: Sequence[Path]) -> None:
        """Decodes the masks, but those of 1 bit, so that none is refused in the middle of a training."""
        soft = look_at_all(paths, lambda path: read_header(path).bits > 1 and is_soft_mask(path))
        cut = [path for path, is_soft in zip(paths, soft, strict=True) if is_soft]
        self.events = {"masks of more than two levels cut at half": Event(len(cut), str(cut[0]))} if cut else {}
        for reason, event in self.events.items():
            logger.warning("%d %s (first: %s)", event.times, reason, event.first)

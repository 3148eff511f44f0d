"""Boxes from Pascal VOC's XML files, one per image."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

from ..errors import DataError, count, nearest
from ..records import Event
from .image_index import ImageIndex
from .user_boxes import DrawnBox, note, of_classes
from .voc_xml import VocFile, read_voc

logger = logging.getLogger(__name__)


@dataclass
class VocFiles:
    """Boxes of a box task. A file without objects says that its image has none; an image without a file is unknown.

    A file belongs to the image of the same path without ending, else of the same name, else to the one it names as
    ``<filename>``. Corners are taken as they are written: Pascal VOC counts pixels from 1, most tools from 0.

    Attributes:
        folder: of the XML files, at any depth.
        selected: names of the objects that are classes, in order; None takes all, by their alphabet.
        events: what the last reading met and went on from, by reason.
    """

    folder: Path
    selected: tuple[str, ...] | None = None
    events: dict[str, Event] = field(default_factory=dict, init=False)

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.folder,)

    @cached_property
    def content(self) -> list[VocFile]:
        """The parsed files. DataError: one is damaged, or there is none."""
        paths = sorted(path for path in self.folder.rglob("*.xml") if not path.name.startswith("."))
        if not paths:
            raise DataError(f"{self.folder}: no XML file in this folder or below it")
        return [read_voc(path) for path in paths]

    @cached_property
    def _names(self) -> list[str]:
        return sorted({item.name for file in self.content for item in file.objects})

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Class names in order.

        Raises:
            DataError: a file is damaged, or none has an object and no class is named.
        """
        if self.selected is not None:
            return self.selected
        if not self._names:
            raise DataError(f"{self.folder}: no file has an object, so there is no class; name the classes")
        return tuple(self._names)

    def read(self, index: ImageIndex) -> dict[str, dict]:
        """``{image_id: {"annotations": [...]}}``.

        Raises:
            DataError: a file is damaged, states another size than its image has, or fits several images; two fit one;
                none fits any; or no object is of a class.
        """
        for name in self.classes:
            if name not in self._names:
                known = nearest(name, self._names, "objects")
                raise DataError(f"{self.folder}: no object is called {name!r} (key classes); {known}")
        found = self.match(index)
        index.read_sizes(sorted(found))
        self.events = {}
        return of_classes(self._boxes(found, index), self.classes, sorted(found), self.folder, self.events)

    def _boxes(self, found: Mapping[str, VocFile], index: ImageIndex) -> Iterator[tuple[str, str, DrawnBox]]:
        """Image, class and box of every object."""
        for image_id, file in sorted(found.items()):
            size = index.size(image_id)
            if file.size and file.size != size:
                raise DataError(
                    f"{file.path}: the image is said to be {file.size[1]} x {file.size[0]} pixels (width x height), "
                    f"but {index.path(image_id)} is {size[1]} x {size[0]}; the boxes belong to another version of the "
                    "image"
                )
            for item in file.objects:
                if item.difficult and item.name in self.classes:
                    note(self.events, "objects marked difficult, kept", item.place)
                yield image_id, item.name, DrawnBox(item.corners, size, item.place, corners=True)

    def match(self, index: ImageIndex) -> dict[str, VocFile]:
        """The file of each image that has one. DataError: as :meth:`read`."""
        found: dict[str, VocFile] = {}
        unused = []
        loosely: list[tuple[str, str]] = []
        for file in self.content:
            image_id = self._image_of(file, index, loosely)
            if not image_id:
                unused.append(file.path)
            elif image_id in found:
                both = f"{found[image_id].path} and {file.path}"
                raise DataError(f"{self.folder}: two files are about the image {image_id}: {both}; keep one")
            else:
                found[image_id] = file
        if not found:
            raise DataError(
                f"{self.folder}: none of its {count(len(unused), 'XML file')} fits an image below {index.root}; the "
                f"one of {index.ids[0]} would be {PurePosixPath(index.ids[0]).stem}.xml, or name it as filename"
            )
        if unused:
            what = count(len(unused), "XML file")
            logger.warning("%s: %s without an image (first: %s)", self.folder, what, unused[0].name)
        index.say_loose(loosely, self.folder)
        return found

    def _image_of(self, file: VocFile, index: ImageIndex, loosely: list[tuple[str, str]]) -> str:
        path = file.path.relative_to(self.folder).with_suffix("")
        unsure = None
        for name in (path.as_posix(), path.name, file.filename):
            matches = index.match(name, loosely) if name else []
            if len(matches) == 1:
                return matches[0]
            if matches:
                unsure = unsure or index.ambiguous(name, matches, str(file.path))
        if unsure:
            raise unsure
        return ""

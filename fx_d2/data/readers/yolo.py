"""Boxes from YOLO's text labels: one file per image, one row per box, in shares of the image."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ..errors import DataError, count
from ..listing import without_ending
from ..records import Event
from .image_index import ImageIndex
from .user_boxes import DrawnBox, of_classes
from .yolo_names import NAME_FILES

logger = logging.getLogger(__name__)

# How far a share may lie outside of 0..1: rounding. The rest of such a box is clipped.
_ROUNDING = 0.01
# Text files that lie beside labels and are none.
_OTHERS = (*NAME_FILES, "train.txt", "val.txt", "valid.txt", "test.txt")


@dataclass
class YoloLabels:
    """Boxes of a box task.

    The labels of ``images/a/b.jpg`` are the file whose path has ``labels`` for the last ``images``, else
    ``a/b.txt``, else ``b.txt`` in the folder. A row is ``class x y width height`` (centre, shares of the image), or
    ``class x1 y1 x2 y2 x3 y3 ...``, a polygon, whose extent is the box. An empty file says that there is no box.

    Attributes:
        folder: of the label files.
        names: class name by number.
        classes: those that are used, in their order.
        missing_is_negative: an image without a file has no box; else it is unknown, and not in the result.
        names_file: where the names are from; None: the declaration.
        events: what the last reading met and went on from, by reason.
    """

    folder: Path
    names: Mapping[int, str]
    classes: tuple[str, ...]
    missing_is_negative: bool = False
    names_file: Path | None = None
    events: dict[str, Event] = field(default_factory=dict, init=False)

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.folder, *([self.names_file] if self.names_file else []))

    def read(self, index: ImageIndex) -> dict[str, dict]:
        """``{image_id: {"annotations": [...]}}``.

        Raises:
            DataError: no file fits an image, one fits two, or a row is wrong; the message names file and line.
        """
        found = match_labels(self.folder, index)
        without = len(index) - len(found)
        if without:
            taken = "taken as without a box" if self.missing_is_negative else "left out (no_file: negative keeps them)"
            logger.info("%s: %s without a label file %s", self.folder, count(without, "image"), taken)
        chosen = index.ids if self.missing_is_negative else sorted(found)
        index.read_sizes(chosen)
        self.events = {}
        return of_classes(self._boxes(found, index), self.classes, chosen, self.folder, self.events)

    def _boxes(self, found: Mapping[str, Path], index: ImageIndex) -> Iterator[tuple[str, str, DrawnBox]]:
        """Image, class and box of every row."""
        for image_id, path in sorted(found.items()):
            height, width = index.size(image_id)
            for place, text, number, shares in read_rows(path):
                if number not in self.names:
                    known = ", ".join(f"{key} {name}" for key, name in sorted(self.names.items()))
                    source = self.names_file or "classes"
                    raise DataError(f"{place}: class {number} is not among those of {source} ({known})")
                x0, y0, x1, y1 = _corners(shares)
                if x1 < x0 or y1 < y0:
                    raise DataError(f"{place}: {text!r}: width and height are 0 or more")
                corners = (x0 * width, y0 * height, x1 * width, y1 * height)
                yield image_id, self.names[number], DrawnBox(corners, (height, width), place, corners=True)


def match_labels(folder: Path, index: ImageIndex) -> dict[str, Path]:
    """The label file of each image that has one, by image id.

    Raises:
        DataError: there is none, or one fits two images.
    """
    top = os.path.abspath(folder)
    paths = {os.path.join(top, path.relative_to(folder)): path for path in sorted(folder.rglob("*.txt"))}
    found: dict[str, Path] = {}
    users: dict[Path, str] = {}
    for image_id in index.ids:
        name = without_ending(image_id) + ".txt"
        *before, last = os.path.join(os.path.abspath(index.root), name).rpartition(f"{os.sep}images{os.sep}")
        beside = f"{before[0]}{os.sep}labels{os.sep}{last}" if before[0] else ""
        places = (beside, os.path.join(top, name), os.path.join(top, PurePosixPath(name).name))
        path = next((paths[place] for place in places if place in paths), None)
        if path is None:
            continue
        if path in users:
            raise DataError(f"{path}: fits both {users[path]} and {image_id}; use the subfolders of the images, too")
        users[path] = image_id
        found[image_id] = path
    if not found:
        example = PurePosixPath(without_ending(index.ids[0])).name + ".txt"
        raise DataError(
            f"{folder}: no label file fits an image ({count(len(paths), 'text file')} there; the labels of "
            f"{index.ids[0]} would be {example}); check images and yolo"
        )
    unused = [path for path in paths.values() if path not in users and not _is_other(path)]
    if unused:
        logger.warning("%s: %s without an image (first: %s)", folder, count(len(unused), "label file"), unused[0].name)
    return found


def _is_other(path: Path) -> bool:
    name = path.name.casefold()
    return name in _OTHERS or name.startswith("readme")


def read_rows(path: Path) -> Iterator[tuple[str, str, int, list[float]]]:
    """The rows of a label file that are not empty: place, text, class number, and the numbers behind it.

    Raises:
        DataError: a row is wrong; the message names the line.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise DataError(f"{path}: not a text file in UTF-8; YOLO labels are rows of numbers") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    for line, text in enumerate(lines, start=1):
        if text.strip():
            place = f"{path}, line {line}"
            yield place, text, *_parse_row(text, place)


def _parse_row(text: str, place: str) -> tuple[int, list[float]]:
    try:
        number, *shares = map(float, text.split())
    except ValueError:
        raise DataError(f"{place}: {text!r}: a row is numbers, class x y width height") from None
    if len(shares) == 5:
        raise DataError(
            f"{place}: {text!r}: a sixth number is a score, and these are predictions, or a turned box's angle; "
            "truth is class x y width height"
        )
    if len(shares) != 4 and (len(shares) < 6 or len(shares) % 2):
        raise DataError(
            f"{place}: {text!r}: {1 + len(shares)} numbers; class x y width height are 5, and a polygon has two for "
            "each of three points or more behind its class"
        )
    if number < 0 or not number.is_integer():
        raise DataError(f"{place}: {text!r}: the class is a whole number from 0")
    for share in shares:
        if not math.isfinite(share) or not -_ROUNDING <= share <= 1 + _ROUNDING:
            raise DataError(f"{place}: {text!r}: {share:g} is not in 0..1; YOLO has shares of the image, no pixels")
    return int(number), shares


def _corners(shares: list[float]) -> tuple[float, float, float, float]:
    """x0, y0, x1, y1 of a box or of a polygon's extent."""
    if len(shares) == 4:
        x, y, width, height = shares
        return x - width / 2, y - height / 2, x + width / 2, y + height / 2
    return min(shares[::2]), min(shares[1::2]), max(shares[::2]), max(shares[1::2])

"""One XML file as Pascal VOC has it, read by expat, which knows the lines and opens nothing else."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from ..errors import DataError

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class VocObject:
    """An object: its class, corners x0, y0, x1, y1 as they are written, and place for messages."""

    name: str
    corners: tuple[float, float, float, float]
    difficult: bool
    place: str


@dataclass
class VocFile:
    """An XML file.

    Attributes:
        filename: of the image; empty where the file does not say.
        size: height and width that the file states; None where it does not, or states zeros.
    """

    path: Path
    filename: str = ""
    size: tuple[int, int] | None = None
    objects: list[VocObject] = field(default_factory=list)


def read_voc(path: Path) -> VocFile:
    """Reads a file.

    Raises:
        DataError: it is no XML, not of this form, or an object lacks its name or box; the message names the line.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    return _Reader(path).read(data)


class _Reader:
    def __init__(self, path: Path) -> None:
        self.file = VocFile(path)
        self._above: list[str] = []
        self._text: list[str] = []
        self._values: dict[tuple[str, ...], str] = {}
        self._line = 0  # where the object begins
        self._parser = expat.ParserCreate()
        self._parser.StartElementHandler = self._begin
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text.append
        self._parser.StartDoctypeDeclHandler = self._refuse_doctype

    def read(self, data: bytes) -> VocFile:
        try:
            self._parser.Parse(data, True)
        except expat.ExpatError as error:
            what = expat.ErrorString(error.code)
            raise DataError(f"{self.file.path}, line {error.lineno}: not valid XML: {what}") from None
        except (ValueError, LookupError) as error:  # an encoding that expat does not have, or a DataError of ours
            if isinstance(error, DataError):
                raise
            raise DataError(f"{self.file.path}: not valid XML: {error}; save it in UTF-8") from None
        sides = [self._values.get(("size", side), "") for side in ("height", "width")]
        if any(sides):
            height, width = (self._number(text, f"size {text!r}", self.file.path) for text in sides)
            self.file.size = (int(height), int(width)) if height or width else None
        self.file.filename = self._values.get(("filename",), "")
        return self.file

    def _refuse_doctype(self, *_: object) -> None:
        place = f"{self.file.path}, line {self._parser.CurrentLineNumber}"
        raise DataError(f"{place}: a DOCTYPE, which Pascal VOC files do not have, is not read; take it out")

    def _begin(self, name: str, _: object) -> None:
        if not self._above and name != "annotation":
            raise DataError(f"{self.file.path}: not a Pascal VOC file: it begins with <{name}>, not <annotation>")
        self._above.append(name)
        self._text.clear()
        if self._above[1:] == ["object"]:
            self._line = self._parser.CurrentLineNumber
            self._values = {key: text for key, text in self._values.items() if key[0] != "object"}

    def _end(self, _: object) -> None:
        key = tuple(self._above[1:])
        if key == ("object",):
            self.file.objects.append(self._object())
        elif key:
            text = "".join(self._text).strip()
            if key in self._values and key[:2] == ("object", "bndbox"):
                place = f"{self.file.path}, line {self._parser.CurrentLineNumber}"
                raise DataError(f"{place}: an object has two {key[-1]}; give each box an object of its own")
            self._values[key] = text
        self._above.pop()
        self._text.clear()

    def _object(self) -> VocObject:
        place = f"{self.file.path}, line {self._line}"
        name = self._values.get(("object", "name"), "")
        if not name:
            raise DataError(f"{place}: an object without a name")
        texts = [self._values.get(("object", "bndbox", key)) for key in _CORNERS]
        missing = [key for key, text in zip(_CORNERS, texts, strict=True) if text is None]
        if missing:
            raise DataError(f"{place}: the bndbox of object {name!r} lacks {', '.join(missing)}")
        x0, y0, x1, y1 = (
            self._number(text or "", f"{key} {text!r}", place) for key, text in zip(_CORNERS, texts, strict=True)
        )
        if x1 < x0 or y1 < y0:
            raise DataError(f"{place}: box {x0:g}, {y0:g}, {x1:g}, {y1:g} of {name!r} ends before it begins")
        return VocObject(name, (x0, y0, x1, y1), self._values.get(("object", "difficult")) in ("1", "true"), place)

    @staticmethod
    def _number(text: str, what: str, place: object) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise DataError(f"{place}: {what} is no number")
        return value

"""CSV files of published datasets, row by row: columns by name, whatever their order, case and blanks."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ..errors import DataError, nearest
from .tables import open_text

# Masks as run lengths are longer than the csv module's default of 128 KiB a field.
csv.field_size_limit(1 << 30)


def fold(name: str) -> str:
    """A name without case, blanks and punctuation: ``Patient Gender`` and `` patient_gender`` are one."""
    return re.sub(r"[\W_]+", "", name.casefold())


class Columns:
    """Iterates over the rows of a file as ``(line, fields)``, the fields stripped and in the order of ``wanted``.

    Args:
        path: a comma-separated file in UTF-8, plain or ``.gz``.
        wanted: the names that a column may have in the file, by the name that we give it.
        optional: those (our names) that may be missing; their fields are empty then.
        ragged: rows may be shorter or longer than the header (NIH's box list names nine columns over rows of six).

    Raises:
        DataError: the file is empty, is not comma-separated text in UTF-8, lacks a column, or has a row of another
            length; the message names the line.
    """

    def __init__(
        self, path: Path, wanted: Mapping[str, Sequence[str]], optional: Sequence[str] = (), ragged: bool = False
    ) -> None:
        self.path, self.ragged = path, ragged
        header = next(self._lines(), None)
        if header is None:
            raise DataError(f"{path}: the file is empty; a header line with column names is needed")
        self.header = [name.strip() for name in header[1]]
        if len(self.header) == 1 and any(mark in self.header[0] for mark in ";\t"):
            raise DataError(f"{path}: fields are separated by semicolon or tab; save the file with commas")
        self._positions = [self._find(names, key in optional) for key, names in wanted.items()]

    def _find(self, names: Sequence[str], optional: bool) -> int | None:
        wanted = {fold(name) for name in names}
        found = [number for number, name in enumerate(self.header) if fold(name) in wanted]
        if len(found) > 1:
            raise DataError(f"{self.path}: the header names column {names[0]!r} {len(found)} times; rename one")
        if not found and not optional:
            known = [name for name in self.header if name]
            raise DataError(f"{self.path}: no column {names[0]!r}; {nearest(names[0], known, 'columns')}")
        return found[0] if found else None

    def _lines(self) -> Iterator[tuple[int, list[str]]]:
        """Line numbers and raw fields, the header included, empty lines left out."""
        try:
            with open_text(self.path) as stream:
                reader = csv.reader(stream, strict=True)
                for row in reader:
                    if row and (len(row) > 1 or row[0].strip()):
                        yield reader.line_num, row
        except UnicodeDecodeError:
            raise DataError(f"{self.path}: not a text file in UTF-8; save it as CSV in UTF-8") from None
        except (OSError, EOFError, csv.Error) as error:
            raise DataError(f"{self.path}: cannot be read as CSV: {error}") from None

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        width, positions = len(self.header), self._positions
        # A column that is not there is taken from behind the row's end, which is blank.
        places = [width if position is None else position for position in positions]
        blank = [""] if width in places else []
        lines = self._lines()
        next(lines)
        for line, row in lines:
            if len(row) != width:
                row = self._fit(row, width, line)
            row = row[:width] + blank if blank else row
            yield line, [row[place].strip() for place in places]

    def _fit(self, row: list[str], width: int, line: int) -> list[str]:
        if not self.ragged and (len(row) < width or any(field.strip() for field in row[width:])):
            raise DataError(f"{self.path}, line {line}: {len(row)} fields, but the header names {width} columns")
        return row + [""] * (width - len(row))

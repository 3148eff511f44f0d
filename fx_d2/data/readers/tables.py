"""CSV files and lists of names, as rows that know their line."""

from __future__ import annotations

import csv
import gzip
from dataclasses import dataclass
from pathlib import Path

from ..errors import DataError, nearest


@dataclass(frozen=True)
class Table:
    """A CSV file with a header.

    Attributes:
        path: the file.
        columns: names of the header, without blanks around them.
        rows: (line number, fields), the fields without blanks around them, as many as columns.
    """

    path: Path
    columns: tuple[str, ...]
    rows: list[tuple[int, list[str]]]

    def position(self, name: str, key: str) -> int:
        """Position of a column.

        Args:
            name: the column.
            key: the key of the YAML file that names it, for the message.

        Raises:
            DataError: there is no such column, or two of that name.
        """
        times = self.columns.count(name)
        if times == 1:
            return self.columns.index(name)
        if times:
            raise DataError(f"{self.path}: the header names column {name!r} {times} times; rename one")
        named = [column for column in self.columns if column]
        raise DataError(f"{self.path}: no column {name!r} (key {key}); {nearest(name, named, 'columns')}")


def read_table(path: Path) -> Table:
    """Reads a comma-separated file in UTF-8, plain or as ``.csv.gz``; empty lines are skipped.

    Raises:
        DataError: the file is empty or not of that form, or a row has another number of fields than the header.
    """
    try:
        with open_text(path) as stream:
            reader = csv.reader(stream, strict=True)
            lines = [(reader.line_num, [field.strip() for field in row]) for row in reader]
    except UnicodeDecodeError:
        raise DataError(f"{path}: not a text file in UTF-8; save it as CSV in UTF-8") from None
    except (OSError, EOFError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as CSV: {error}") from None
    lines = [(number, row) for number, row in lines if any(row)]
    if not lines:
        raise DataError(f"{path}: the file is empty; a header line with column names is needed")
    columns = lines[0][1]
    if len(columns) == 1 and any(mark in columns[0] for mark in ";\t"):
        raise DataError(f"{path}: fields are separated by semicolon or tab; save the file with commas")
    rows = []
    for number, row in lines[1:]:
        if len(row) < len(columns) or any(row[len(columns) :]):
            raise DataError(f"{path}, line {number}: {len(row)} fields, but the header names {len(columns)} columns")
        rows.append((number, row[: len(columns)]))
    if not rows:
        raise DataError(f"{path}: there is a header but no row below it")
    return Table(path, tuple(columns), rows)


def read_names(path: Path) -> list[tuple[str, str]]:
    """Reads a list with one name per line as (name, ``line n``); empty lines are skipped.

    Raises:
        DataError: the file is not text or holds no name.
    """
    try:
        with open_text(path) as stream:
            names = [(line.strip(), f"line {number}") for number, line in enumerate(stream, start=1) if line.strip()]
    except (UnicodeDecodeError, OSError, EOFError) as error:
        raise DataError(f"{path}: cannot be read as text in UTF-8: {error}") from None
    if not names:
        raise DataError(f"{path}: the list is empty; write one image name per line")
    return names


def open_text(path: Path):
    """Opens a text file in UTF-8, plain or compressed (``.gz``)."""
    opener = gzip.open if path.suffix.lower() == ".gz" else open
    return opener(path, "rt", encoding="utf-8-sig", newline="")

"""CSV files and lists of names, as rows that know their line."""

from __future__ import annotations

import gzip
import io
import logging
import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import DataError, nearest
from .table_text import SEPARATORS, fills, read_text, separate

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Table:
    """A CSV file with a header.

    Attributes:
        path: the file.
        columns: names of the header, without blanks around them.
        rows: (line number, fields), the fields without blanks around them, as many as columns.
        form: what is unusual about the file, such as ``separated by semicolon``.
    """

    path: Path
    columns: tuple[str, ...]
    rows: list[tuple[int, list[str]]]
    form: str = ""

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
    """Reads a CSV file, plain or as ``.csv.gz``; empty lines are skipped.

    Fields are separated by commas, semicolons or tabs, the text is UTF-8, UTF-16 or Latin-1, where that is certain
    (:mod:`fx_d2.data.readers.table_text`); all but commas and UTF-8 is said in the log.

    Raises:
        DataError: the file is empty or not of that form, or a row has another number of fields than the header.
    """
    text, encoding = read_text(path)
    lines, separator = separate(text, path)
    if not lines:
        raise DataError(f"{path}: the file is empty; a header line with column names is needed")
    columns = lines[0][1]
    rows = []
    for number, row in lines[1:]:
        if not fills(row, len(columns)):
            raise DataError(f"{path}, line {number}: {len(row)} fields, but the header names {len(columns)} columns")
        rows.append((number, row[: len(columns)]))
    if not rows:
        raise DataError(f"{path}: there is a header but no row below it")
    form = f"separated by {SEPARATORS[separator]}" if separator != "," else ""
    return Table(path, tuple(columns), rows, _say(path, ", ".join(filter(None, (form, _said(text, encoding))))))


def read_names(path: Path) -> list[tuple[str, str]]:
    """Reads a list with one name per line as (name, ``line n``); empty lines are skipped. Encodings as in tables.

    Raises:
        DataError: the file is not text or holds no name.
    """
    text, encoding = read_text(path)
    lines = enumerate(io.StringIO(text, newline=None), start=1)
    names = [(line.strip(), f"line {number}") for number, line in lines if line.strip()]
    if not names:
        raise DataError(f"{path}: the list is empty; write one image name per line")
    _say(path, _said(text, encoding))
    return names


def _said(text: str, encoding: str) -> str:
    """Another encoding than UTF-8, with a word that shows whether it is right."""
    word = next((word for word in re.findall(r"\w+", text) if not word.isascii()), "")
    return f"text in {encoding}" + (f" (such as {word!r})" if word else "") if encoding else ""


def _say(path: Path, form: str) -> str:
    if form:
        logger.info("%s: %s", path, form)
    return form


def open_text(path: Path):
    """Opens a text file in UTF-8, plain or compressed (``.gz``)."""
    opener = gzip.open if path.suffix.lower() == ".gz" else open
    return opener(path, "rt", encoding="utf-8-sig", newline="")

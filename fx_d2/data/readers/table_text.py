"""The text of a user's table or list: its encoding, and what separates its fields, where that is certain."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

from ..errors import DataError

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab"}
_MARKS = {b"\xff\xfe\x00\x00": "UTF-32", b"\x00\x00\xfe\xff": "UTF-32", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
# Latin-1 as Western languages use it: letters, degree and micro. 0x80 to 0x9F are controls there, but letters and signs
# in the encodings of Windows, the Mac and East Asia; Central Europe has letters on most signs from 0xA0 on.
_LATIN = re.compile(rb"[\x00-\x7f\xb0\xb5\xc0-\xd6\xd8-\xf6\xf8-\xff]*")
_OUTSIDE_ASCII = re.compile(rb"[\x80-\xff]+")

Lines = list[tuple[int, list[str]]]


def read_text(path: Path) -> tuple[str, str]:
    """The text of a file, plain or compressed (``.gz``), and its encoding where that is not UTF-8 (else empty).

    UTF-16 is told by its mark or by a zero in every other byte. Latin-1 is taken where the file is no UTF-8 and the
    bytes outside of ASCII are Western letters that stand alone or by two, as in "Müller": in Cyrillic, Greek or East
    Asian text most stand in a row.

    Raises:
        DataError: the file cannot be read, or its encoding is not certain.
    """
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix.lower() == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    encoding = _encoding(data)
    try:
        return data.decode(encoding or "utf-8-sig"), encoding
    except UnicodeDecodeError:
        pass
    raise DataError(f"{path}: neither text in UTF-8 nor plainly in UTF-16 or Latin-1; save it as CSV in UTF-8")


def _encoding(data: bytes) -> str:
    """Empty: UTF-8."""
    marked = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "")
    if marked or not data:
        return marked
    if b"\0" in data:
        halves = (data[1::2], "UTF-16-LE"), (data[::2], "UTF-16-BE")
        return next((name for half, name in halves if len(data) % 2 == 0 and not any(half)), "")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        runs = [len(run) for run in _OUTSIDE_ASCII.findall(data)]
        return "Latin-1" if _LATIN.fullmatch(data) and max(runs) <= 2 and 2 * runs.count(1) > len(runs) else ""
    return ""


def separate(text: str, path: Path) -> tuple[Lines, str]:
    """Rows that are not empty, as (line number, fields without blanks around them), and what separates the fields.

    A separator fits where it makes two columns or more and every row has as many fields as the header. The comma wins
    where it fits; else the only other one that fits, or that the header has.

    Raises:
        DataError: the text is no CSV.
    """
    tried: dict[str, Lines | csv.Error] = {}
    for mark in SEPARATORS:
        try:
            tried[mark] = lines = list(_lines(text, mark))
        except csv.Error as error:
            tried[mark] = error
            continue
        if mark == "," and _fits(lines):
            return lines, mark
    fitting = [mark for mark, lines in tried.items() if _fits(lines)]
    if not fitting and _columns(tried[","]) == 1:
        fitting = [mark for mark, lines in tried.items() if _columns(lines) > 1]
    if len(fitting) > 1:
        raise DataError(f"{path}: the fields may be separated by semicolon or by tab; save the file with commas")
    mark = fitting[0] if fitting else ","
    chosen = tried[mark]
    if isinstance(chosen, csv.Error):
        raise DataError(f"{path}: cannot be read as CSV: {chosen}")
    return chosen, mark


def _lines(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=separator)
    for row in reader:
        fields = [field.strip() for field in row]
        if any(fields):
            yield reader.line_num, fields


def _columns(lines: Lines | csv.Error) -> int:
    """Of the header; 0 where there is none."""
    return len(lines[0][1]) if isinstance(lines, list) and lines else 0


def _fits(lines: Lines | csv.Error) -> bool:
    width = _columns(lines)
    return width > 1 and isinstance(lines, list) and all(fills(row, width) for _, row in lines)


def fills(row: list[str], width: int) -> bool:
    """Whether a row has a field for each column, and nothing behind them."""
    return len(row) >= width and not any(row[width:])

"""Image labels from a CSV file: one row per image, one column per class, values 1, 0, -1 or blank."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..errors import DataError, count
from .image_index import ImageIndex
from .tables import Table, read_table

logger = logging.getLogger(__name__)

UNCERTAIN = -1.0
_ALLOWED = (1.0, 0.0, UNCERTAIN)


@dataclass
class CsvLabels:
    """Labels of a classification task.

    Attributes:
        path: the CSV file.
        image_column: the column with image names.
        selected: columns that are classes, in order; None takes every column that holds only 1, 0, -1 and blanks.
        exclusive: exactly one class is 1 in every row, or the row is unknown.
        uncertain: label for -1, a number from 0 to 1; NaN leaves it unknown.
    """

    path: Path
    image_column: str = "image"
    selected: tuple[str, ...] | None = None
    exclusive: bool = False
    uncertain: float = math.nan

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.path,)

    @cached_property
    def table(self) -> Table:
        return read_table(self.path)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The class names in order.

        Raises:
            DataError: the file cannot be read, or no column holds labels.
        """
        if self.selected is not None:
            return self.selected
        image = self.table.position(self.image_column, "image")
        columns = [(number, name) for number, name in enumerate(self.table.columns) if name and number != image]
        taken = tuple(name for number, name in columns if self._is_label(number))
        if not taken:
            raise DataError(f"{self.path}: no column holds only 1, 0, -1 and blanks; name the columns under classes")
        left_out = [name for name in self.table.columns if name and name not in (*taken, self.image_column)]
        logger.info(
            "%s: classes taken from the header: %s%s",
            self.path,
            ", ".join(taken),
            f"; other columns: {', '.join(left_out)}" if left_out else "",
        )
        return taken

    def _is_label(self, column: int) -> bool:
        texts = {row[column] for _, row in self.table.rows}
        return texts != {""} and all(text == "" or _number(text) in _ALLOWED for text in texts)

    def read(self, index: ImageIndex) -> dict[str, dict]:
        """``{image_id: {"labels": [...]}}`` for every image with at least one known label.

        Raises:
            DataError: a column, an image or a value is wrong; the message names the line.
        """
        image = self.table.position(self.image_column, "image")
        columns = [self.table.position(name, "classes") for name in self.classes]
        ids = index.resolve([(row[image], f"line {line}") for line, row in self.table.rows], self.path)
        records, unknown, uncertain = {}, 0, 0
        for image_id, (line, row) in zip(ids, self.table.rows, strict=True):
            values = [self._value(row[column], line, column) for column in columns]
            uncertain += values.count(UNCERTAIN)
            labels = [self.uncertain if value == UNCERTAIN else value for value in values]
            if self.exclusive:
                labels = self._one_hot(labels, line)
            if all(math.isnan(value) for value in labels):
                unknown += 1
            else:
                records[image_id] = {"labels": labels}
        if unknown:
            logger.info("%s: %s without any known label left out: it teaches nothing", self.path, count(unknown, "row"))
        if uncertain:
            policy = "unknown" if math.isnan(self.uncertain) else f"{self.uncertain:g}"
            logger.info("%s: %s (-1) taken as %s", self.path, count(uncertain, "uncertain label"), policy)
        if not records:
            raise DataError(f"{self.path}: no row has a known label in {', '.join(self.classes)}")
        return records

    def _value(self, text: str, line: int, column: int) -> float:
        if not text:
            return math.nan
        value = _number(text)
        if value is None or value not in _ALLOWED:
            raise DataError(
                f"{self.path}, line {line}, column {self.table.columns[column]!r}: label {text!r}; "
                "write 1 (present), 0 (absent), -1 (uncertain) or leave it blank (unknown)"
            )
        return value

    def _one_hot(self, labels: list[float], line: int) -> list[float]:
        ones = labels.count(1.0)
        if ones == 1:
            return [1.0 if value == 1.0 else 0.0 for value in labels]
        if ones == 0 and any(math.isnan(value) for value in labels):
            return [math.nan] * len(labels)
        raise DataError(
            f"{self.path}, line {line}: {ones} of the exclusive classes {', '.join(self.classes)} are 1; exactly one "
            "must be, or all are blank; set exclusive: false if classes may occur together"
        )


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None

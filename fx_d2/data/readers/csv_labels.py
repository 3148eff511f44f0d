"""Image labels from a CSV file: one row per image, one column per class; ``label_text`` says what a field means."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..errors import DataError, count
from .findings_column import FindingsColumn
from .image_index import ImageIndex
from .label_text import UNCERTAIN, is_blank, label_value
from .tables import Table, read_table

logger = logging.getLogger(__name__)


@dataclass
class CsvLabels:
    """Labels of a classification task.

    Attributes:
        path: the CSV file.
        image_column: the column with image names.
        selected: columns that are classes, in order; None takes every column that holds only labels and blanks.
        exclusive: exactly one class is 1 in every row, or the row is unknown.
        uncertain: label for -1, a number from 0 to 1; NaN leaves it unknown.
        findings: the column that lists the findings of a row, in place of a column for each; they are the classes.
    """

    path: Path
    image_column: str = "image"
    selected: tuple[str, ...] | None = None
    exclusive: bool = False
    uncertain: float = math.nan
    findings: FindingsColumn | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.path,)

    @cached_property
    def table(self) -> Table:
        table = read_table(self.path)
        return self.findings.spread(table, self.image_column, self.selected) if self.findings else table

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The class names in order.

        Raises:
            DataError: the file cannot be read, or no column holds labels.
        """
        if self.selected is not None:
            return self.selected
        image = self.table.position(self.image_column, "image")
        others = {
            name: self._why_no_class(number)
            for number, name in enumerate(self.table.columns)
            if name and number != image
        }
        taken = tuple(name for name, why in others.items() if not why)
        left_out = [f"{name} ({why})" for name, why in others.items() if why]
        if not taken:
            raise DataError(
                f"{self.path}: no column holds only labels (1, 0, -1, true, false, yes, no, blank): "
                f"{', '.join(left_out) or 'there is no other column'}; name the columns under classes"
            )
        logger.info(
            "%s: classes taken from the header: %s%s",
            self.path,
            ", ".join(taken),
            f"; other columns: {', '.join(left_out)}" if left_out else "",
        )
        return taken

    def _why_no_class(self, column: int) -> str:
        """What excludes a column from the classes; empty where nothing does."""
        for line, row in self.table.rows:
            if label_value(row[column]) is None:
                return f"{row[column]!r} in line {line}"
        return "blank in every row" if all(is_blank(row[column]) for _, row in self.table.rows) else ""

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
        value = label_value(text)
        if value is None:
            raise DataError(
                f"{self.path}, line {line}, column {self.table.columns[column]!r}: label {text!r}; "
                "write 1 or true (present), 0 or false (absent), -1 (uncertain) or leave it blank (unknown)"
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

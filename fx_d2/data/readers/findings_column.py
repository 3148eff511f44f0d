"""A column that lists the findings of an image, ``Mass|Nodule`` as in ChestX-ray14, as a column for each finding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import DataError, nearest
from .label_text import is_blank
from .tables import Table

SEPARATOR, NONE = "|", "No Finding"
# What else people write between findings.
_OTHERS = (";", ",", "/", "+")


@dataclass(frozen=True)
class FindingsColumn:
    """How findings are listed.

    Attributes:
        column: the name of the column.
        separator: between two findings; None: ``|``, and an error if no row has it and many have another one.
        none: stands alone for "no finding".
    """

    column: str
    separator: str | None = None
    none: str = NONE

    def spread(self, table: Table, image_column: str, selected: Sequence[str] | None) -> Table:
        """A table of the images with a column for each finding: 1 where it is listed, 0 where it is not, blank where
        nothing is written.

        Args:
            selected: the findings that become columns, in order; None: all but ``none``, by their alphabet.

        Raises:
            DataError: a column is missing, a finding is written in two ways, or ``none`` does not stand alone.
        """
        image = table.position(image_column, "image")
        listed = self._listed(table, table.position(self.column, "findings"))
        there = sorted(set().union(*listed))
        for name in selected or ():
            if name not in there:
                raise DataError(
                    f"{table.path}: no row of column {self.column!r} has the finding {name!r} (key classes); "
                    f"{nearest(name, there, 'findings')}"
                )
        names = tuple(selected or (name for name in there if name != self.none))
        if not names:
            raise DataError(f"{table.path}: column {self.column!r} has no finding; check the key findings")
        rows = [
            (line, [row[image], *(str(int(name in found)) if found else "" for name in names)])
            for (line, row), found in zip(table.rows, listed, strict=True)
        ]
        return Table(table.path, (image_column, *names), rows, table.form)

    def _listed(self, table: Table, column: int) -> list[set[str]]:
        """The findings of each row; empty where nothing is written."""
        texts = ["" if is_blank(row[column]) and row[column] != self.none else row[column] for _, row in table.rows]
        mark = self.separator or SEPARATOR
        if self.separator is None and not any(mark in text for text in texts):
            times = {other: sum(other in text for text in texts) for other in _OTHERS}
            likely = max(_OTHERS, key=times.__getitem__)
            if times[likely]:
                raise DataError(
                    f"{table.path}: no row of column {self.column!r} has the separator {mark!r}, and {times[likely]} "
                    f"have {likely!r}; write separator: {likely!r}, or separator: {mark!r} if it is part of a name"
                )
        found, spelt = [], {self.none.casefold(): self.none}
        for (line, _), text in zip(table.rows, texts, strict=True):
            names = {name for part in text.split(mark) if (name := part.strip())}
            for name in names:
                if spelt.setdefault(name.casefold(), name) != name:
                    both = f"{spelt[name.casefold()]!r} and {name!r}"
                    raise DataError(f"{table.path}, line {line}: a finding in two ways, {both}; write it in one")
            if self.none in names and len(names) > 1:
                raise DataError(f"{table.path}, line {line}: {self.none!r} must stand alone, not as in {text!r}")
            found.append(names)
        return found

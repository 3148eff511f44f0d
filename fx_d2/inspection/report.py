"""What a check found: an exit code, strict JSON for machines; ``table`` has the form for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..files import write_json
from .overlaps import Overlap
from .problems import Problem

CLEAN, PROBLEMS, USAGE, LEAKS = 0, 1, 2, 3


@dataclass(frozen=True)
class Report:
    """The result of a check.

    Attributes:
        units: what was selected.
        datasets: facts by dataset, split and task; the keys are described in ``docs/data_checks.md``.
        problems: what has to be mended.
        overlaps: what splits share; some are leaks.
        not_checked: in words, what the check leaves open.
    """

    units: Sequence[str]
    datasets: dict[str, Any]
    problems: Sequence[Problem]
    overlaps: Sequence[Overlap]
    not_checked: Sequence[str]

    @property
    def leaks(self) -> list[Overlap]:
        return [overlap for overlap in self.overlaps if overlap.leak]

    @property
    def exit_code(self) -> int:
        """0 nothing found, 1 problems (and perhaps leaks), 3 leaks alone; 2 is a mistake in the call."""
        if self.problems:
            return PROBLEMS
        return LEAKS if self.leaks else CLEAN

    def to_dict(self) -> dict[str, Any]:
        overlaps = []
        for overlap in self.overlaps:
            pairs = [asdict(pair) for pair in overlap.pairs]
            places = (("first", overlap.first), ("second", overlap.second))
            row: dict[str, Any] = {key: {"dataset": name, "split": split} for key, (name, split) in places}
            overlaps.append(row | {"by": overlap.by, "leak": overlap.leak, "count": len(pairs), "pairs": pairs})
        return {
            "units": list(self.units),
            "datasets": self.datasets,
            "problems": [asdict(problem) for problem in self.problems],
            "overlaps": overlaps,
            "not_checked": list(self.not_checked),
            "exit_code": self.exit_code,
        }

    def write_json(self, path: str | Path) -> None:
        """Strict JSON: no NaN, no infinity; unknown is null."""
        write_json(path, self.to_dict())

"""A mistake in the data as one line: where it is, and what it is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

# How the messages of DataError begin: a file, and often a place in it.
_PLACE = re.compile(
    r"(?P<file>.+?)(?:, (?P<row>line \d+[^:]*)|: (?P<entry>annotation \S+?|image id \S+?))?: (?P<rest>.*)", re.S
)


@dataclass(frozen=True)
class Problem:
    """Something that has to be mended.

    Attributes:
        dataset: name of the dataset, or the file that declares datasets.
        task, split: where it was met; empty where it concerns all.
        file: the file at fault; empty where none is known.
        row: line, annotation or image in that file; empty where it is the whole file.
        message: one sentence that says what is wrong.
    """

    dataset: str
    task: str
    split: str
    file: str
    row: str
    message: str

    @property
    def place(self) -> str:
        """``dataset/task split``, as far as known."""
        return " ".join(part for part in ("/".join(filter(None, (self.dataset, self.task))), self.split) if part)

    def line(self) -> str:
        where = ", ".join(filter(None, (self.file, self.row)))
        return f"{self.place}: {where}: {self.message}" if where else f"{self.place}: {self.message}"


def problem_of(error: Exception, dataset: str, task: str = "", split: str = "") -> Problem:
    """An error of a reader as a problem; its file and row are taken from the message where it names a file."""
    message = " ".join(str(error).split()) or type(error).__name__
    found = _PLACE.fullmatch(message)
    if found and _is_file(found["file"]):
        return Problem(dataset, task, split, found["file"], found["row"] or found["entry"] or "", found["rest"])
    if not isinstance(error, ValueError | OSError):
        message = f"{type(error).__name__}: {message}"
    return Problem(dataset, task, split, "", "", message)


def _is_file(text: str) -> bool:
    return Path(text).is_absolute() or Path(text).exists()


def merge(problems: Iterable[Problem]) -> list[Problem]:
    """Problems of a dataset that say the same become one, which names the splits and tasks of all of them."""
    groups: dict[tuple[str, ...], list[Problem]] = {}
    for problem in problems:
        groups.setdefault((problem.dataset, problem.file, problem.row, problem.message), []).append(problem)
    return [
        replace(
            group[0], **{key: ", ".join(dict.fromkeys(getattr(p, key) for p in group)) for key in ("task", "split")}
        )
        for group in groups.values()
    ]

"""The report of a check for people: tables no wider than 120 columns."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tabulate import tabulate

from ..data.errors import count
from .overlaps import Overlap
from .problems import Problem
from .report import Report

WIDTH = 120
# Splits beside one another in a table of classes, and the widest class name in it.
_BESIDE, _NAME = 3, 30
# Problems shown of each dataset; the JSON file has all.
_SHOWN = 10
_LEGENDS = {
    "cls": "images with label 1 / 0 / unknown",
    "box": "boxes: smallest / middle / largest share of the image in %",
    "mask": "masks: smallest / middle / largest share of the image in %",
}


def render(report: Report) -> str:
    """The whole report as text."""
    parts = [part for name, facts in report.datasets.items() for part in _dataset(name, facts)]
    parts += [_problems(report.problems), _overlaps(report.overlaps)]
    if report.not_checked:
        parts.append("Not checked\n" + "\n".join(_wrap(line, "  - ") for line in report.not_checked))
    parts.append(verdict(report))
    return "\n\n".join(part for part in parts if part)


def verdict(report: Report) -> str:
    """One line: how many problems and leaks there are."""
    if not report.problems and not report.leaks:
        return "No problem and no leak found" + (" in what was checked." if report.not_checked else ".")
    leaks = sum(len(overlap.pairs) for overlap in report.leaks)
    return f"{count(len(report.problems), 'problem')}, {count(leaks, 'leak')} (exit code {report.exit_code})"


def _dataset(name: str, facts: Mapping[str, Any]) -> list[str]:
    splits = facts["splits"]
    head = _wrap(f"{name}  {facts['notes']}".rstrip(), "", "    ") + "\n" + _shorten(facts["source"], WIDTH)
    rows = [
        (
            split,
            _number(one["published"]),
            _number(one["files"]["expected"]),
            _number(one["files"]["found"]),
            _number(one["images"]),
            _number(one["patients"]),
            _frequent(one["sizes"], 2),
            _frequent(one["bits"], 3),
        )
        for split, one in splits.items()
    ]
    headers = ("split", "published", "files expected", "found", "images", "patients", "width x height", "bits")
    aligned = ("left", *["right"] * 5, "left", "left")
    parts = [head + "\n" + tabulate(rows, headers, colalign=aligned, disable_numparse=True)]
    tasks = dict.fromkeys(task for one in splits.values() for task in one["tasks"])
    parts += [table for task in tasks for table in _task(task, splits)]
    remarks: dict[str, list[str]] = {}
    for split, one in splits.items():
        for remark in one["remarks"]:
            remarks.setdefault(remark, []).append(split)
    lines = [_wrap(f"{', '.join(where)}: {remark}", "  - ") for remark, where in remarks.items()]
    return parts + (["\n".join(lines)] if lines else [])


def _task(task: str, splits: Mapping[str, Any]) -> list[str]:
    """A table of the classes for every three splits."""
    present = {split: one["tasks"][task] for split, one in splits.items() if task in one["tasks"]}
    key = {"cls": "labels", "box": "boxes", "mask": "masks"}[task]
    tables = []
    for start in range(0, len(present), _BESIDE):
        beside = dict(list(present.items())[start : start + _BESIDE])
        rows = [["images"] + [_number(one["images"]) for one in beside.values()]]
        rows += [["normal images"] + [_number(one["normals"]) for one in beside.values()]]
        for name in next(iter(beside.values()))[key]:
            cells = [(_labels if task == "cls" else _areas)(one[key][name]) for one in beside.values()]
            rows.append([_shorten(name, _NAME), *cells])
        headers = [task, *beside]
        aligned = ("left", *["right"] * len(beside))
        tables.append(f"{_LEGENDS[task]}\n" + tabulate(rows, headers, colalign=aligned, disable_numparse=True))
    return tables


def _labels(counts: Mapping[str, int]) -> str:
    soft = f" (soft {counts['soft']:,})" if counts["soft"] else ""
    return f"{counts['1']:,} / {counts['0']:,} / {counts['unknown']:,}{soft}"


def _areas(facts: Mapping[str, Any]) -> str:
    number, share = facts["annotations"], facts["share"]
    if not share:
        return f"{number:,}" + (": ?" if number else "")
    return f"{number:,}: " + " / ".join(_percent(share[key]) for key in ("min", "median", "max"))


def _percent(share: float) -> str:
    return f"{100 * share:.3g}"


def _frequent(histogram: Mapping[str, int], most: int) -> str:
    if not histogram:
        return "-"
    if len(histogram) == 1:
        return next(iter(histogram))
    items = Counter(histogram).most_common()
    more = f", {len(items) - most} more" if len(items) > most else ""
    return ", ".join(f"{name} ({times:,})" for name, times in items[:most]) + more


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _problems(problems: Sequence[Problem]) -> str:
    if not problems:
        return ""
    lines: list[str] = []
    times: Counter[str] = Counter()
    for problem in problems:
        times[problem.dataset] += 1
        if times[problem.dataset] <= _SHOWN:
            lines.append(_wrap(problem.line(), "  - "))
    lines += [f"  - {name}: {n - _SHOWN:,} more (--json lists all)" for name, n in times.items() if n > _SHOWN]
    return "Problems\n" + "\n".join(lines)


def _overlaps(overlaps: Sequence[Overlap]) -> str:
    """Leaks first; an overlap within one role is only good to know."""
    if not overlaps:
        return ""
    rows = []
    for one in overlaps:
        pair, things = one.pairs[0], "patient" if one.by == "patient" else "image"
        same = one.first == one.second
        what = "LEAK" if one.leak else "twice" if same else "shared"
        other = "(itself)" if same else " ".join(one.second)
        example = f"{_shorten(pair.first, 20)} = {_shorten(pair.second, 20)}"
        row = (what, " ".join(one.first), other, count(len(one.pairs), things), one.by, example)
        rows.append([_shorten(cell, room) for cell, room in zip(row, (6, 24, 24, 14, 8, 44), strict=True)])
    headers = ("", "split", "and split", "share", "by", "example")
    return "Shared between splits\n" + tabulate(rows, headers, disable_numparse=True)


def _shorten(text: str, room: int) -> str:
    """The text, its middle left out where it is longer than ``room``."""
    if len(text) <= room:
        return text
    head = (room - 1) // 3
    return text[:head] + "…" + text[len(text) - (room - 1 - head) :]


def _wrap(text: str, first: str, later: str = "    ") -> str:
    return "\n".join(
        textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=later, break_on_hyphens=False) or [first]
    )

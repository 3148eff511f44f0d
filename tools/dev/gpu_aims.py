#!/usr/bin/env python
"""Aims for one H100, bfloat16, batch 24, beside what tools/dev/gpu_check.sh measured, as a table in Markdown.

python tools/dev/gpu_aims.py output/gpu_check

Reads the JSON files of that folder; what is not in them is "not measured". A report: its exit code is 0.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate  # and nothing of ours: where PyTorch fails, the report is still made

# Seconds of a launched step of 24 images in float32: H100 80GB HBM3, 26 November 2026.
FLOAT32 = {
    "cls released": 0.113,
    "box locked": 0.258,
    "box released": 0.415,
    "mask locked": 0.045,
    "mask released": 0.151,
}
# Columns that name a row.
NAMES = ("kind", "case", "task", "GPUs")
# At most so many milliseconds.
STEPS = {"cls released": 22, "box locked": 55, "box released": 95, "mask locked": 8, "mask released": 35}


@dataclass(frozen=True)
class Aim:
    """``value`` of the row called ``row`` in ``file``.json is ``sign`` (``<=``, ``>=``) ``bound``."""

    what: str
    sign: str
    bound: float
    unit: str
    file: str
    row: str
    value: Callable[[dict], float]

    def cells(self, folder: Path) -> list[str]:
        aim = f"{self.sign} {self.bound:g} {self.unit}"
        found = measured(folder / f"{self.file}.json", self.row, self.value)
        if found is None:
            return [self.what, aim, "", "not measured"]
        missed = found / self.bound - 1 if self.sign == "<=" else 1 - found / self.bound
        number = f"{found:.3g}" if found < 1000 else f"{found:.0f}"
        return [self.what, aim, f"{number} {self.unit}", f"missed by {missed:.1%}" if missed > 0 else "met"]


def measured(file: Path, name: str, value: Callable[[dict], float]) -> float | None:
    """None where the file, its row or the number is missing: a part that ran out of time leaves what it had."""
    try:
        tables = json.loads(file.read_text(encoding="utf-8"))["tables"].values()
        rows = [row for rows in tables for row in rows]
        return next(float(value(row)) for row in rows if name in {str(row.get(key)) for key in NAMES})
    except (OSError, ValueError, KeyError, TypeError, StopIteration):
        return None


def machine(file: Path) -> str:
    """Where and how it was measured, for the aims are those of one kind of GPU."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))["machine"]
        return ", ".join(f"{key} {found[key]}" for key in ("gpu", "processor", "precision", "batch") if key in found)
    except (OSError, ValueError, KeyError, TypeError):
        return "no step was measured"


def aims() -> Iterator[Aim]:
    for kind, bound in STEPS.items():
        yield Aim(f"step, {kind}", "<=", bound, "ms", "step", kind, lambda row: 1e3 * row["seconds"])
    share = "share of the matrix rate, cls released, 128 images"
    yield Aim(share, ">=", 38, "%", "large", "cls released", lambda row: 100 * row["share"])
    for kind, before in FLOAT32.items():
        what = f"as fast as launched in float32, {kind}"
        yield Aim(what, ">=", 3, "times", "step", kind, lambda row, before=before: before / row["seconds"])
    for hours in (45, 24):
        yield Aim("150 published cycles", "<=", hours, "h", "hours", "1", lambda row: row["hours of 150 cycles"])
    yield Aim("prediction, all heads", ">=", 200, "images/s", "infer", "all units", lambda row: row["images/s"])
    yield Aim("recordings of a cycle, memory", "<=", 8, "GiB", "recordings", "a cycle", lambda row: row["GiB"])
    yield Aim("recordings of a cycle, time", "<=", 60, "s", "recordings", "a cycle", lambda row: row["seconds"])
    apart = "phantoms, losses of recorded and launched steps differ by"
    yield Aim(apart, "<=", 1, "%", "phantoms", "all cycles", lambda row: 100 * row["means differ by"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of tools/dev/gpu_check.sh")
    folder = parser.parse_args().folder
    rows = [aim.cells(folder) for aim in aims()]
    print(machine(folder / "step.json"), end="\n\n")
    print(tabulate(rows, ["what", "aim", "measured", ""], tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()

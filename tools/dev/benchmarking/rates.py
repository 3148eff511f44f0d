"""Rates of training steps: measured, or assumed from counted operations."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from .footprint import Work

TRAINS = {"locked": "head", "released": "path"}


def kind_key(text: str) -> tuple[str, str]:
    """``box locked`` -> ``("box", "head")``.

    Raises:
        ValueError: it is no kind of pass.
    """
    task, _, state = text.strip().partition(" ")
    if state not in TRAINS:
        raise ValueError(f"{text!r} is no kind of pass; kinds are written as 'cls released' or 'box locked'")
    return task, TRAINS[state]


def read_rates(text: str) -> dict[tuple[str, str], float]:
    """Images a second by kind of pass, from a file of ``tools/dev/benchmark.py --json`` or ``cls released=0.55,...``.

    Raises:
        ValueError: neither of the two, a rate that is not above 0, or a file without rates.
        OSError: the file cannot be read.
    """
    pairs = _from_file(Path(text)) if "=" not in text else dict(_pair(item) for item in text.split(","))
    rates = {}
    for kind, value in pairs.items():
        try:
            rates[kind_key(kind)] = float(value)
        except (TypeError, ValueError) as error:
            raise ValueError(f"--rates: {kind}={value}: {error}") from None
        if not rates[kind_key(kind)] > 0:
            raise ValueError(f"--rates: {kind}={value}: a rate is above 0 images a second")
    return rates


def _pair(item: str) -> tuple[str, str]:
    kind, equals, value = item.partition("=")
    if not equals:
        raise ValueError(f"--rates: {item!r} is not of the form 'cls released=0.55'")
    return kind, value


def _from_file(path: Path) -> dict[str, float]:
    """The rows of the table of training steps; a step that did not fit into the memory has no rate."""
    try:
        tables = json.loads(path.read_text(encoding="utf-8"))["tables"]
        rows = [row for rows in tables.values() for row in rows if "kind" in row]
        found = {row["kind"]: row["images/s"] for row in rows if row.get("images/s")}
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError):
        raise ValueError(f"--rates: {path} is no file of tools/dev/benchmark.py --json") from None
    if not found:
        raise ValueError(f"--rates: {path} has no training step (benchmark.py --what step)")
    return found


def assumed_rates(work: Mapping[tuple[str, str], Work], tflops: float) -> dict[tuple[str, str], float]:
    """Images a second if every kind of step attained ``tflops`` 1e12 operations a second."""
    return {key: tflops * 1e3 / counted.gflop for key, counted in work.items()}


def read_work(path: Path) -> dict[tuple[str, str], Work]:
    """Counts by kind, as ``tools/dev/plan_memory.py --json`` writes them.

    Raises:
        ValueError: it is no such file. OSError: it cannot be read.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {kind_key(kind): Work(**counted) for kind, counted in found["work"].items()}
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError):
        raise ValueError(f"--counts: {path} is no file of tools/dev/plan_memory.py --json") from None

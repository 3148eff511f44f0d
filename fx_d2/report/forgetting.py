"""The forgetting matrix: how the score of each unit moves while another one trains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .run import Run

# A change of this much (as a fraction) has the full colour.
_STRONG = 0.10


def forgetting_matrix(
    rows: Sequence[dict[str, Any]], units: Sequence[str], model: str
) -> tuple[np.ndarray, np.ndarray]:
    """How the score of a unit moves while another one trains.

    Args:
        rows: measurements, see :class:`fx_d2.report.run.Run`. A change counts where all units were scored just
            before a unit began and just after it ended.

    Returns:
        change (U, U) float: row scored, column trained, mean over the cycles, NaN where nothing is known; and the
        number of cycles (U, U) behind it.
    """
    place = {unit: number for number, unit in enumerate(units)}
    at = {row["iteration"]: row["scores"].get(model, {}) for row in rows}
    total, count = np.zeros((len(units), len(units))), np.zeros((len(units), len(units)), dtype=np.int64)
    for row in rows:
        before, after = at.get(row["begun"]), row["scores"].get(model, {})
        if row["after"] not in place or before is None:
            continue
        for unit, number in place.items():
            if before.get(unit) is not None and after.get(unit) is not None:
                total[number, place[row["after"]]] += after[unit] - before[unit]
                count[number, place[row["after"]]] += 1
    with np.errstate(invalid="ignore"):
        return np.where(count > 0, total / np.maximum(count, 1), np.nan), count


def forgetting_tables(run: Run) -> dict[str, Any]:
    """The matrix of every model that was scored between units, or the words that say why there is none."""
    units = [unit for unit in run.units if any(scheduled.unit == unit for scheduled in run.passes)]
    models = [model for model in ("student", "teacher") if any(model in row["scores"] for row in run.unit_scores)]
    matrices = []
    for model in models:
        change, count = forgetting_matrix(run.unit_scores, units, model)
        if count.any():
            matrices.append({"model": model, "units": units, **_matrix(change, count, units)})
    if not matrices:
        return {"matrices": [], "words": _why_no_matrix(run)}
    cycles = len({row["cycle"] for row in run.unit_scores if row["after"] is not None})
    words = (
        f"the change from before that unit to after it, mean over {cycles} cycle{'s' if cycles != 1 else ''}, "
        f"on {_images(run)} of the {run.cfg.FX.EVAL.VAL_SPLIT} split."
    )
    return {"matrices": matrices, "words": words}


def _images(run: Run) -> str:
    cap = run.cfg.FX.EVAL.AFTER_UNITS_IMAGES
    return f"at most {cap} images a unit" if cap else "all images"


def _why_no_matrix(run: Run) -> str:
    if not run.passes:
        return "Nothing was trained in this folder, so nothing can have been forgotten."
    if not run.cfg.FX.EVAL.AFTER_UNITS:
        return (
            "The forgetting matrix shows how much each unit's score moves while each other unit trains. It needs "
            "scores between units, which this run did not take: set FX.EVAL.AFTER_UNITS."
        )
    return "The run has not come to a cycle in which units are scored between units (FX.EVAL.AFTER_UNITS)."


def _matrix(change: np.ndarray, count: np.ndarray, units: Sequence[str]) -> dict[str, Any]:
    rows = []
    for i, unit in enumerate(units):
        cells = [_heat(change[i, j], int(count[i, j]), unit, units[j], i == j) for j in range(len(units))]
        total = change[i][count[i] > 0].sum() if count[i].any() else None
        rows.append({"name": unit, "cells": cells, "sum": "–" if total is None else points_of(total)})
    return {"rows": rows, "summary": _summary(change, units)}


def _heat(value: float, cycles: int, scored: str, trained: str, own: bool) -> dict[str, Any]:
    if not cycles:
        return {
            "text": "–",
            "color": "",
            "strength": 0,
            "self": own,
            "hint": f"{scored} while {trained} trained: unknown",
        }
    points = points_of(value)
    hint = f"{scored} while {trained} trained: {points} points, mean of {cycles} cycle{'s' if cycles != 1 else ''}"
    strength = round(0.75 * min(abs(value) / _STRONG, 1.0), 2)
    color = "gain" if value > 0 else "loss"
    return {"text": points, "color": color, "strength": strength, "self": own, "hint": hint}


def points_of(value: float) -> str:
    """A change in hundredths with its sign; a plain 0 for less than half a tenth of a point."""
    points = 100 * value
    return "0" if abs(points) < 0.05 else f"{points:+.1f}".replace("-", "−")


def _summary(change: np.ndarray, units: Sequence[str]) -> str:
    """The largest loss by another unit, in words."""
    others = np.where(np.eye(len(units), dtype=bool), np.nan, change)
    own = np.diag(change)
    parts = []
    if np.isfinite(own).any():
        parts.append(f"A unit moves by {points_of(float(np.nanmean(own)))} points on average while it trains itself")
    if np.isfinite(others).any():
        i, j = map(int, np.unravel_index(np.nanargmin(others), others.shape))
        parts.append(f"and by {points_of(float(np.nanmean(others)))} while another one trains")
        if others[i, j] < 0:
            parts.append(f"the largest loss is {points_of(others[i, j])}: {units[i]} while {units[j]} trains")
    return "; ".join(parts) + "." if parts else ""

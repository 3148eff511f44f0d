"""Numbers of the report as rows: headlines, a table per task, a table per unit and model, the forgetting matrix."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from ...evaluation.results import MAIN_METRIC, TABLE_METRICS
from ...schedule import TASKS, Unit
from ...visualization.report.charts import interval_chart, number
from .history import forgetting
from .run import Run

TITLES = {"cls": "Findings", "box": "Boxes", "mask": "Masks"}
# Metrics that are not fractions from 0 to 1; all others have three digits.
_PIXELS = ("_mm", "_px", "HD95", "ASD")
# A change of this much (as a fraction) has the full colour.
_STRONG = 0.10


def anchor(unit: str) -> str:
    """The unit as the page's address names it."""
    return "unit-" + "".join(letter if letter.isalnum() else "-" for letter in unit)


def cell(entry: Mapping[str, Any], name: str = "") -> Markup:
    """A value, its interval below; a dash that tells the reason where it is undefined."""
    value, digits = entry.get("value"), 1 if any(part in name for part in _PIXELS) else 3
    if value is None:
        return Markup('<abbr title="{}">–</abbr>').format(entry.get("reason") or "undefined")
    text = Markup("{}").format(number(value, digits))
    if entry.get("low") is None:
        return text
    hint = entry.get("method") or "interval"
    low, high = number(entry["low"], min(digits, 2)), number(entry["high"], min(digits, 2))
    return text + Markup('<span class="ci" title="{}">{}–{}</span>').format(hint, low, high)


def headlines(run: Run) -> list[dict[str, Any]]:
    """One card a task: the mean of the main metric over the units, of the shown model."""
    cards = []
    for task in TASKS:
        units = [unit for unit in run.units if unit.endswith(f"/{task}") and run.scored(unit)]
        if not units:
            continue
        means = {
            model: _mean([run.unit_metrics(model, unit).get(MAIN_METRIC[task]) for unit in units])
            for model in run.models
        }
        others = [f"{model} {number(value)}" for model, value in means.items() if model != run.shown]
        rest = "; ".join([run.shown, *others, f"mean of {len(units)} units" if len(units) > 1 else units[0]])
        cards.append(
            {"task": task, "what": f"{TITLES[task]}: {MAIN_METRIC[task]}", "value": means[run.shown], "rest": rest}
        )
    return cards


def task_tables(run: Run) -> list[dict[str, Any]]:
    """One table a task: a row a unit, the main metric of every model, further ones of the shown model, a plot."""
    tables = []
    for task in TASKS:
        units = [unit for unit in run.units if unit.endswith(f"/{task}") and run.scored(unit)]
        if units:
            main, *others = TABLE_METRICS[task]
            low = _floor(run, units, main)
            rows = [_task_row(run, unit, main, others, low) for unit in units]
            if len(units) > 1:
                rows.append(_mean_row(run, units, main, others, low))
            heads = {
                "main_heads": [(main, model) for model in run.models],
                "other_heads": [(name, run.shown) for name in others],
            }
            tables.append({"title": TITLES[task], **heads, "rows": rows, "low": low})
    return tables


def _task_row(run: Run, unit: str, main: str, others: Sequence[str], low: float) -> dict[str, Any]:
    entries = {model: run.metric(model, unit, main) for model in run.models}
    return {
        "name": unit,
        "anchor": anchor(unit),
        "images": run.record["images"].get(unit, {}).get(run.split),
        "main": [cell(entry) for entry in entries.values()],
        "others": [cell(run.metric(run.shown, unit, name)) for name in others],
        "plot": _plot(unit, entries, low),
        "total": False,
    }


def _mean_row(run: Run, units: Sequence[str], main: str, others: Sequence[str], low: float) -> dict[str, Any]:
    def mean(model: str, name: str) -> dict[str, Any]:
        return {"value": _mean([run.unit_metrics(model, unit).get(name) for unit in units])}

    entries = {model: mean(model, main) for model in run.models}
    return {
        "name": "mean",
        "anchor": "",
        "images": None,
        "main": [cell(entry) for entry in entries.values()],
        "others": [cell(mean(run.shown, name)) for name in others],
        "plot": _plot("mean of the units", entries, low),
        "total": True,
    }


def _plot(unit: str, entries: Mapping[str, Mapping[str, Any]], low: float) -> Markup:
    rows, words = [], []
    for model, entry in entries.items():
        bounds = None if entry.get("low") is None else (entry["low"], entry["high"])
        rows.append((model, entry.get("value"), bounds))
        words.append(
            f"{model} {number(entry.get('value'))}" + (f" ({bounds[0]:.2f} to {bounds[1]:.2f})" if bounds else "")
        )
    return interval_chart(rows, low, f"{unit}: {', '.join(words)}")


def _floor(run: Run, units: Sequence[str], name: str) -> float:
    """Where the axis of a table's plots begins: a round value below all that they show."""
    entries = [run.metric(model, unit, name) for unit in units for model in run.models]
    values = [entry[key] for entry in entries for key in ("value", "low") if entry.get(key) is not None]
    return max(0.0, min(0.9, math.floor(10 * min(values, default=0.0) - 0.2) / 10))


def unit_tables(run: Run, unit: str) -> list[dict[str, Any]]:
    """One table a model: the means, then a row a class; a column a metric."""
    return [_unit_table(run, unit, model) for model in run.models if run.unit_metrics(model, unit)]


def _unit_table(run: Run, unit: str, model: str) -> dict[str, Any]:
    known, first = run.unit_metrics(model, unit), TABLE_METRICS[Unit.parse(unit).task]
    names = dict.fromkeys(name.partition("/")[0] for name in known)
    metrics = sorted(names, key=lambda name: (first.index(name) if name in first else len(first), name))
    support = _support(run.extra(model, unit))

    def row(label: str, keys: Sequence[str], total: bool) -> dict[str, Any]:
        cells = [cell(run.metric(model, unit, key), key) if key in known else "" for key in keys]
        return {"name": label, "cells": [*cells, support.get(label, "")] if support else cells, "total": total}

    classes = [label for label in run.classes(unit) if any(f"{name}/{label}" in known for name in metrics)]
    rows = [row("all classes" if len(classes) > 1 else "all", metrics, True)]
    rows += [row(label, [f"{name}/{label}" for name in metrics], False) for label in classes]
    return {"model": model, "columns": [*metrics, "images with"] if support else metrics, "rows": rows}


def _support(extra: Mapping[str, Any]) -> dict[str, str]:
    """Images that have each class, of those where it is known."""
    if "labels" in extra or "masks" in extra:
        counts = extra.get("labels") or extra["masks"]
        return {name: f"{c['positive']} of {c['positive'] + c['negative']}" for name, c in counts.items()}
    if "regions" in extra:
        return {name: f"{c['images_with']} of {extra['images']}" for name, c in extra["regions"].items()}
    return {}


def forgetting_tables(run: Run) -> dict[str, Any]:
    """The matrix of every model that was scored between units, or the words that say why there is none."""
    units = [unit for unit in run.units if any(stretch.unit == unit for stretch in run.stretches)]
    models = [model for model in ("student", "teacher") if any(model in row["scores"] for row in run.unit_scores)]
    matrices = []
    for model in models:
        change, count = forgetting(run.unit_scores, units, model)
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
    if not run.stretches:
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
        parts.append(f"A unit moves by {points_of(np.nanmean(own))} points on average while it trains itself")
    if np.isfinite(others).any():
        i, j = np.unravel_index(np.nanargmin(others), others.shape)
        parts.append(f"and by {points_of(np.nanmean(others))} while another one trains")
        if others[i, j] < 0:
            parts.append(f"the largest loss is {points_of(others[i, j])}: {units[i]} while {units[j]} trains")
    return "; ".join(parts) + "." if parts else ""


def _mean(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None

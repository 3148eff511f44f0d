"""Numbers of the report as rows: headlines, a table per task, a table per unit and model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from ..evaluation.detections import FROC_METRICS
from ..evaluation.estimates import mean_or_none
from ..evaluation.results import MAIN_METRIC, TABLE_METRICS
from ..schedule import TASKS, Unit
from .charts import interval_chart, number
from .run import Run

TITLES = {"cls": "Findings", "box": "Boxes", "mask": "Masks"}
# Order of the columns of a unit's table; others follow by name.
_ORDER = {
    "cls": ("AUROC", "AP", "Sensitivity", "Specificity", "PPV", "NPV", "F1", "ECE", "Accuracy"),
    "box": ("AP50", "AP", "AP75", "AP40", *FROC_METRICS),
    "mask": ("Dice", "IoU", "Dice_all", "IoU_all", "HD95", "HD95_mm", "ASSD", "ASSD_mm"),
}
# Distances, in pixels unless the name says millimetres; all other metrics are fractions from 0 to 1.
_DISTANCES = ("HD95", "ASSD")


def anchor(unit: str) -> str:
    """The unit as the page's address names it."""
    return "unit-" + "".join(letter if letter.isalnum() else "-" for letter in unit)


def cell(entry: Mapping[str, Any], name: str = "") -> Markup:
    """A value, its interval below; a dash that tells the reason where it is undefined."""
    value, digits = entry.get("value"), 1 if name.startswith(_DISTANCES) else 3
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
            model: mean_or_none([run.unit_metrics(model, unit).get(MAIN_METRIC[task]) for unit in units])
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
        return {"value": mean_or_none([run.unit_metrics(model, unit).get(name) for unit in units])}

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
    known, first = run.unit_metrics(model, unit), _ORDER[Unit.parse(unit).task]
    names = dict.fromkeys(name.partition("/")[0] for name in known)
    metrics = sorted(names, key=lambda name: (first.index(name) if name in first else len(first), name))
    # A metric without a single value is a line below the table, not an empty column.
    empty = [name for name in metrics if all(v is None for k, v in known.items() if k.partition("/")[0] == name)]
    metrics = [name for name in metrics if name not in empty]
    support = _support(run.unit_details(model, unit))

    def row(label: str, keys: Sequence[str], total: bool) -> dict[str, Any]:
        cells = [cell(run.metric(model, unit, key), key) if key in known else "" for key in keys]
        return {"name": label, "cells": [support.get(label, ""), *cells] if support else cells, "total": total}

    classes = [label for label in run.classes(unit) if any(f"{name}/{label}" in known for name in metrics)]
    rows = [row("all classes" if len(classes) > 1 else "all", metrics, True)]
    rows += [row(label, [f"{name}/{label}" for name in metrics], False) for label in classes]
    columns = [f"{name} (px)" if name in _DISTANCES else name.replace("@", " @ ") for name in metrics]
    undefined = [f"{name} ({_reason(run, model, unit, name)})" for name in empty]
    return {
        "model": model,
        "columns": ["images with", *columns] if support else columns,
        "rows": rows,
        "undefined": "; ".join(undefined),
    }


def _reason(run: Run, model: str, unit: str, name: str) -> str:
    """Why a metric has no value for any class: what the classes say where they agree, else what the mean says."""
    reasons = {run.metric(model, unit, f"{name}/{label}").get("reason") for label in run.classes(unit)} - {None}
    own = run.metric(model, unit, name).get("reason") or "no reason given"
    return str(reasons.pop()) if len(reasons) == 1 else own


def _signed(value: float) -> str:
    return "0" if abs(value) < 0.0005 else f"{value:+.3f}"


def comparison(run: Run, unit: str) -> str:
    """The difference between the models in the main metric, with its interval and p-value; empty where unknown."""
    compared = run.details.get("comparisons", {}).get(unit, {})
    name = MAIN_METRIC[Unit.parse(unit).task]
    entry = compared.get("metrics", {}).get(name, {})
    if entry.get("difference") is None:
        return ""
    words = f"{compared['first'].capitalize()} minus {compared['second']}: {name} {_signed(entry['difference'])}"
    if entry.get("low") is not None:
        words += (
            f" ({_signed(entry['low'])} to {_signed(entry['high'])}; p = {entry['p_value']:.2g}, {entry['method']})"
        )
    return words.replace("-", "−") + "."


def _support(details: Mapping[str, Any]) -> dict[str, str]:
    """Images that have each class, of those where it is known."""
    if "labels" in details or "masks" in details:
        counts = details.get("labels") or details["masks"]
        return {name: f"{c['positive']} of {c['positive'] + c['negative']}" for name, c in counts.items()}
    if "regions" in details:
        return {name: f"{c['images_with']} of {details['images']}" for name, c in details["regions"].items()}
    return {}

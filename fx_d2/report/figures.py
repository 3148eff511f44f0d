"""The plots of a unit, from the curves in ``results_details.json`` (its keys: ``docs/metrics.md``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .charts import Curve, calibration_chart, distribution_chart, froc_chart, number, precision_chart, roc_chart
from .run import Run

Figure = dict[str, Any]


def unit_figures(run: Run, unit: str) -> list[Figure]:
    """The plots of the shown model; fewer where the details lack curves."""
    details, subject = run.unit_details(run.shown, unit), f"{unit}, {run.shown}"
    figures = []
    if details.get("roc"):
        figures += [_roc(run, unit, details["roc"], subject), _precision(run, unit, details["roc"], subject)]
    if details.get("reliability"):
        figures.append(_calibration(details["reliability"], subject))
    if details.get("froc"):
        figures.append(_froc(run, unit, details["froc"], subject))
    if details.get("masks"):
        figures.append(_dice(details["masks"], run.classes(unit), subject))
    return figures


def _curves(run: Run, unit: str, stored: Mapping[str, Any], x: str, y: str, metric: str) -> list[Curve]:
    """One a class that has a curve, with the metric that sums it up."""
    return [
        Curve(
            name,
            list(zip(stored[name][x], stored[name][y], strict=True)),
            run.metric(run.shown, unit, f"{metric}/{name}")["value"],
            index,
        )
        for index, name in enumerate(run.classes(unit))
        if name in stored
    ]


def _roc(run: Run, unit: str, stored: Mapping[str, Any], subject: str) -> Figure:
    curves = _curves(run, unit, stored, "fpr", "tpr", "AUROC")
    curves = [replace(curve, points=[(0.0, 0.0), *curve.points, (1.0, 1.0)]) for curve in curves]
    left_out = [name for name in run.classes(unit) if name not in stored]
    caption = "Sensitivity against the share of negatives called positive, over all thresholds. Dotted: chance."
    if left_out:
        caption += f" Undefined, since only one outcome occurs: {', '.join(left_out)}."
    return {"title": "ROC", "chart": roc_chart(curves, subject), "caption": caption}


def _precision(run: Run, unit: str, stored: Mapping[str, Any], subject: str) -> Figure:
    chart = precision_chart(_curves(run, unit, stored, "tpr", "precision", "AP"), subject)
    caption = "Of the images called positive, the share that is; at chance it is the prevalence of the class."
    return {"title": "Precision and recall", "chart": chart, "caption": caption}


def _calibration(curves: Mapping[str, Any], subject: str) -> Figure:
    bins = pooled_bins(curves.values())
    total = sum(count for *_, count in bins)
    error = sum(count * abs(x - y) for x, y, count in bins) / total if total else None
    caption = (
        "All classes together (the table has them apart): expected calibration error "
        f"{number(error)}. The area of a dot is the number of cases. "
        "Below the dotted diagonal the scores are too high, above it too low."
    )
    return {"title": "Calibration", "chart": calibration_chart(bins, error, subject), "caption": caption}


def pooled_bins(curves: Any) -> list[tuple[float, float, int]]:
    """Bins of equal edges of all classes joined: mean score, share of positives, cases."""
    sums: dict[float, np.ndarray] = {}
    for curve in curves:
        for low, count, score, frequency in zip(
            curve["low"], curve["count"], curve["score"], curve["frequency"], strict=True
        ):
            part = np.array([count * score, count * frequency, count])
            sums[round(low, 6)] = sums.get(round(low, 6), 0.0) + part
    return [(s / n, f / n, int(n)) for s, f, n in (sums[low] for low in sorted(sums)) if n]


def _froc(run: Run, unit: str, stored: Mapping[str, Any], subject: str) -> Figure:
    curves = _curves(run, unit, stored, "fp_per_image", "sensitivity", "FROC")
    iou = run.details.get("options", {}).get("froc_iou")
    caption = "Share of the true boxes found, against false boxes per image" + (
        f"; a hit from IoU {iou:g}." if iou else "."
    )
    return {"title": "FROC", "chart": froc_chart(curves, subject), "caption": caption}


def _dice(masks: Mapping[str, Any], classes: Sequence[str], subject: str) -> Figure:
    values = {name: masks[name]["dice"] if name in masks else [] for name in classes}
    caption = "A dot an image that has the class; box: first to third quartile, line: median."
    if missing := [name for name, column in values.items() if not column]:
        caption += f" On no image: {', '.join(missing)}."
    missed = sum(entry.get("missed", 0) for entry in masks.values())
    invented = sum(entry.get("invented", 0) for entry in masks.values())
    caption += f" Nothing drawn though present: {missed}; drawn though absent: {invented}."
    return {"title": "Dice by image", "chart": distribution_chart(values, "Dice", subject), "caption": caption}


def operating_table(details: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Counts at the operating point of every class: threshold, where it comes from, the four cells."""
    rows = []
    for name, entry in details.get("operating_points", {}).items():
        cells = [entry.get(key) for key in ("tp", "fn", "fp", "tn")]
        rows.append({"name": name, "threshold": entry["threshold"], "source": entry.get("source", ""), "cells": cells})
    return rows

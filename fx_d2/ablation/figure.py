"""The figure of a plan's ``series``: a task's main metric along a number, a line a series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..evaluation.results import MAIN_METRIC
from ..report.series import draw_series
from ..report.svg import Axis, Plot
from .collect import Trained
from .outcome import interval, macro
from .plan import Series

# Points of a figure by the name of their line: number, arm, seeds, mean and 95 % interval of each arm with seeds.
Lines = dict[str, list[dict[str, Any]]]


def measured(series: Series, found: Sequence[Trained], task: str) -> Lines:
    """Teacher, test split, mean over the units of a task; over seeds as in the tables of scores."""
    lines: Lines = {}
    for name, points in series.lines.items():
        values = [(x, arm, macro(found, arm, "teacher", task, MAIN_METRIC[task])) for x, arm in points]
        lines[name] = [
            {"x": x, "arm": arm, "seeds": len(seeds), **span} for x, arm, seeds in values if (span := interval(seeds))
        ]
    return lines


def series_plot(series: Series, lines: Mapping[str, list[dict[str, Any]]], task: str) -> Plot:
    """Numbers stand side by side in their order, as 5, 10, 20, 40 do on a logarithmic axis, and none hides another."""
    numbers = sorted({x for points in series.lines.values() for x, _ in points})
    spans = [v for points in lines.values() for p in points for v in (p["mean"], p["low"], p["high"]) if v is not None]
    low, high = min(spans, default=0.0), max(spans, default=1.0)
    margin = 0.06 * (high - low) or 0.01
    words = "; ".join(f"{name}: {', '.join(map(_words, points))}" for name, points in lines.items() if points)
    plot = Plot(
        Axis(-0.4, len(numbers) - 0.6, series.x, range(len(numbers)), lambda place: f"{numbers[int(place)]:g}"),
        Axis(low - margin, high + margin, f"{MAIN_METRIC[task]}, mean and 95 % interval"),
        f"{series.title}, {MAIN_METRIC[task]} over {series.x}. {words}.",
        height=270,
    )
    # Series beside each other, so that their intervals are seen.
    step = min(0.09, 0.6 / len(lines))
    for index, (name, points) in enumerate(lines.items()):
        shift = step * (index - (len(lines) - 1) / 2)
        draw_series(
            plot,
            index,
            [(numbers.index(p["x"]) + shift, p["mean"]) for p in points],
            [f"{name}, {_words(p)}, seeds: {p['seeds']}" for p in points],
            [None if p["low"] is None else (p["low"], p["high"]) for p in points],
        )
    return plot


def _words(point: Mapping[str, Any]) -> str:
    bounds = "" if point["low"] is None else f" ({point['low']:.3f} to {point['high']:.3f})"
    return f"{point['x']:g}: {point['mean']:.3f}{bounds}"

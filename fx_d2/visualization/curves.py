"""Losses and metrics of a run as one picture, from the metrics.json that Detectron2's JSONWriter appends to."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..schedule import TASKS
from .palette import Color, color_of, mix

logger = logging.getLogger(__name__)

_TITLES = {"cls": "Findings", "box": "Boxes", "mask": "Masks"}
# The metric that is drawn for each task.
_METRICS = {"cls": "AUROC", "box": "AP50", "mask": "Dice"}
_STYLES = {"teacher": "-", "student": "--"}
# Share of the old value in the running mean of a loss.
_SMOOTHING = 0.6

# Iteration -> key -> value.
Rows = dict[int, dict[str, float]]
# Iterations and values.
Points = tuple[list[int], list[float]]


def draw_curves(metrics_json: str | Path, png: str | Path) -> None:
    """Draws the training losses of every unit (top) and its main metric (bottom), a column per task.

    Losses: the values as written, faint, and their running mean. Metrics: teacher solid, student dashed, from the
    evaluations during training (``val/...``); the final evaluation is a marker (teacher filled, student open).
    A file without evaluations, or without any curve, gives a picture that says so.
    """
    rows = read_metrics(Path(metrics_json))
    curves = sort_curves(rows)
    datasets = list(dict.fromkeys(dataset for _, dataset, _ in curves))
    tasks = [task for task in TASKS if any(key[2] == task for key in curves)]
    colors = {dataset: mix(color_of(index), 0.0, 0.12) for index, dataset in enumerate(datasets)}
    width = max(6.5, 4.2 * len(tasks))
    columns = round(width / 2)
    legend_rows = -(-(len(datasets) + 4) // columns)
    figure = Figure(figsize=(width, 5.8 + 0.22 * legend_rows), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    if not tasks:
        figure.text(0.5, 0.5, "no losses or metrics written yet", ha="center", va="center")
    else:
        axes = figure.subplots(2, len(tasks), squeeze=False, sharex=True)
        axes[0, 0].set_xlim(0, 1.02 * max(1, *rows))
        for column, task in enumerate(tasks):
            _draw_losses(axes[0, column], task, curves, colors)
            _draw_metric(axes[1, column], task, curves, colors)
        _add_legend(figure, colors, {kind for kind, _, _ in curves}, columns)
    Path(png).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(png)


def read_metrics(path: Path) -> Rows:
    """The lines of a metrics file by iteration; of values written twice (a resumed run) the later one holds.

    Lines that cannot be read (a run killed while writing) are counted and logged.
    """
    rows: Rows = {}
    unreadable = 0
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
            iteration = int(entry.pop("iteration"))
        except (ValueError, TypeError, KeyError, AttributeError):
            unreadable += bool(line.strip())
            continue
        numbers = {key: float(value) for key, value in entry.items() if isinstance(value, int | float)}
        rows.setdefault(iteration, {}).update(numbers)
    if unreadable:
        logger.warning("%s: %d lines cannot be read and are left out", path, unreadable)
    return dict(sorted(rows.items()))


def sort_curves(rows: Rows) -> dict[tuple[str, str, str], Points]:
    """Points by (kind, dataset, task); kind is loss, student or teacher (final), val/student or val/teacher."""
    curves: dict[tuple[str, str, str], Points] = {}
    for iteration, row in rows.items():
        for key, value in row.items():
            *kind, dataset, task, name = key.split("/") if key.count("/") >= 2 else ("", "", "")
            if task not in TASKS:
                continue
            if not kind and name == "total_loss":
                kind = ["loss"]
            elif name != _METRICS[task] or kind[-1:] not in (["student"], ["teacher"]):
                continue
            iterations, values = curves.setdefault(("/".join(kind), dataset, task), ([], []))
            iterations.append(iteration)
            values.append(value)
    return curves


def smooth(values: Sequence[float], keep: float = _SMOOTHING) -> np.ndarray:
    """Running mean, weights falling by ``keep`` per point into the past; no bias at the start, NaN passed over."""
    total = weight = 0.0
    means = []
    for value in values:
        if np.isfinite(value):
            total, weight = keep * total + value, keep * weight + 1.0
        means.append(total / weight if weight else np.nan)
    return np.array(means)


def _draw_losses(axes: Axes, task: str, curves: Mapping, colors: Mapping[str, Color]) -> None:
    axes.set_title(_TITLES[task], fontweight="bold")
    drawn = []
    for dataset, color in colors.items():
        if ("loss", dataset, task) in curves:
            iterations, values = curves["loss", dataset, task]
            axes.plot(iterations, values, color=color, linewidth=0.8, alpha=0.25)
            axes.plot(iterations, smooth(values), color=color, linewidth=1.8, marker="." if len(values) == 1 else "")
            drawn += [value for value in values if np.isfinite(value)]
    _finish(axes, "training loss", bool(drawn))
    if drawn:
        # The first steps of a run would hide the rest; the top leaves out the highest 1 %.
        axes.set_ylim(0, 1.1 * max(float(np.quantile(drawn, 0.99)), 1e-6))


def _draw_metric(axes: Axes, task: str, curves: Mapping, colors: Mapping[str, Color]) -> None:
    drawn = False
    for dataset, color in colors.items():
        for model, style in _STYLES.items():
            if (f"val/{model}", dataset, task) in curves:
                points = curves[f"val/{model}", dataset, task]
                axes.plot(*points, color=color, linestyle=style, linewidth=1.6, marker=".", markersize=5)
                drawn = True
            if (model, dataset, task) in curves:
                points = curves[model, dataset, task]
                face = color if model == "teacher" else "white"
                marker = {"marker": "D", "markersize": 6.5, "markeredgecolor": color, "markerfacecolor": face}
                axes.plot(*points, linestyle="none", zorder=3, clip_on=False, **marker)
                drawn = True
    _finish(axes, _METRICS[task], drawn)
    axes.set_xlabel("iteration")
    axes.set_ylim(0, 1)


def _finish(axes: Axes, ylabel: str, drawn: bool) -> None:
    axes.set_ylabel(ylabel)
    axes.grid(True, color="0.92")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if not drawn:
        axes.text(0.5, 0.5, "none yet", color="0.5", ha="center", va="center", transform=axes.transAxes)


def _add_legend(figure: Figure, colors: Mapping[str, Color], kinds: set[str], columns: int) -> None:
    """Below all panels: colours are datasets, lines and markers are models."""
    handles = [Line2D([], [], color=color, linewidth=3, label=dataset) for dataset, color in colors.items()]
    for model, style in _STYLES.items():
        if f"val/{model}" in kinds:
            handles.append(Line2D([], [], color="0.3", linestyle=style, label=f"{model}, validation"))
        if model in kinds:
            face = "0.3" if model == "teacher" else "white"
            marker = {"marker": "D", "markeredgecolor": "0.3", "markerfacecolor": face}
            handles.append(Line2D([], [], linestyle="none", label=f"{model}, final", **marker))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=9)

"""The outcome of an ablation as one offline page, as JSON and as Markdown."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

from markupsafe import Markup

from .. import __version__
from ..files import replacing, write_json
from ..report.series import draw_series, key, standalone, style
from ..report.svg import Axis, Plot
from ..report.templating import render, style_sheet
from ..schedule import TASKS, Unit
from .collect import METRICS, MODELS, Trained, collect, share_to_reach
from .figure import Lines, measured, series_plot
from .outcome import Row, interval, judge, macro, within_seeds
from .plan import MEASURES, Claim, Job, Plan, Series
from .statistics import HOLDS, REFUTED, UNDECIDED, seeds_needed

NAMES = {"cls": "findings", "box": "boxes", "mask": "masks"}
_KINDS = {HOLDS: "holds", REFUTED: "refuted", UNDECIDED: "open"}
# What a reader would like to see: seeds are counted that would show it.
_EFFECT = 0.02


def write_outcome(plan: Plan, jobs: Sequence[Job], folder: Path, bootstraps: int = 200) -> Path:
    """Writes ``ablation.html``, ``.json`` and ``.md`` of the runs that are finished; returns the page.

    A plan with ``series`` gets a ``series_TASK.svg`` of each task, too.
    """
    found = collect(plan, jobs, folder)
    rows = judge(plan, found)
    patients = within_seeds(plan, found, bootstraps)
    tasks = [task for task in TASKS if any(Unit.parse(unit).task == task for t in found for unit in t.units)]
    lines = {task: measured(plan.series, found, task) for task in tasks} if plan.series else {}
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "ablation.json", _record(plan, found, rows, patients, lines))
    figures = _figures(plan.series, lines) if plan.series else []
    context = _context(plan, jobs, found, rows, patients, tasks) | {"series": plan.series, "figures": figures}
    files = {f"series_{figure['task']}.svg": figure["file"] for figure in figures}
    files |= {name: render(f"{name}.jinja", context) for name in ("ablation.html", "ablation.md")}
    for name, content in files.items():
        with replacing(folder / name) as stream:
            stream.write(content.encode())
    return folder / "ablation.html"


def _figures(series: Series, lines: Mapping[str, Lines]) -> list[dict[str, Any]]:
    """The figure of each task: for the page, with its legend, and as a file of its own."""
    keys = [(key(index), name) for index, name in enumerate(series.lines)]
    figures = []
    for task, own in lines.items():
        plot = series_plot(series, own, task)
        title = f"{series.title}: {NAMES[task]}" if len(lines) > 1 else series.title
        figures.append(
            {"task": task, "plot": plot.draw(), "keys": keys, "file": standalone(plot, title, list(series.lines))}
        )
    return figures


def _record(
    plan: Plan, found: Sequence[Trained], rows: Sequence[Row], patients: list[dict], lines: Mapping[str, Lines]
) -> dict[str, Any]:
    return {
        "format": "fx_d2 ablation",
        "version": 1,
        "fx_d2": __version__,
        "plan": asdict(plan),
        "claims": [asdict(row) for row in rows],
        "patients": patients,
        "series": lines,
        "runs": [
            {
                "arm": t.arm,
                "seed": t.seed,
                "missing": t.missing,
                "scores": {"/".join(key): value for key, value in t.scores.items()},
                "middle": {"/".join(key): value for key, value in t.middle.items()},
                "kept": t.kept,
                "curves": t.curves,
                "seconds": t.seconds,
                "iterations": t.iterations,
                "images": t.images,
            }
            for t in found
        ],
    }


def _context(
    plan: Plan,
    jobs: Sequence[Job],
    found: Sequence[Trained],
    rows: Sequence[Row],
    patients: list[dict],
    tasks: Sequence[str],
) -> dict[str, Any]:
    counts = {name: sum(row.verdict == name for row in rows) for name in _KINDS}
    missing = sum(t.missing for t in found) + sum(
        (job.arm, job.seed) not in {(t.arm, t.seed) for t in found} for job in jobs
    )
    return {
        "version": __version__,
        "date": f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d}",
        "style": style_sheet() + style(),
        "title": plan.title,
        "kinds": _KINDS,
        "counts": counts,
        "seeds": len({t.seed for t in found}),
        "runs": len(jobs),
        "missing": missing,
        "claims": [_claim(number, claim, rows, patients) for number, claim in enumerate(plan.claims, 1)],
        "measures": MEASURES,
        "names": NAMES,
        "arms": [_arm(arm.name, arm.about, found, tasks) for arm in plan.arms],
        "columns": [(task, metric) for task in tasks for metric in METRICS[task]],
        "tasks": tasks,
        "forests": [{"task": task, "plot": forest(plan, rows, task)} for task in tasks],
        "curves": [
            {"task": task, "plot": plot, "keys": keys} for task in tasks for plot, keys in [curves(plan, found, task)]
        ],
        "kept": _kept(plan, found),
        "units": _units(plan, found),
        "left_out": plan.left_out,
        "effect": _EFFECT,
    }


def _claim(number: int, claim: Claim, rows: Sequence[Row], patients: list[dict]) -> dict[str, Any]:
    cells = []
    for row in (row for row in rows if row.claim is claim):
        d = row.difference
        mine = [p for p in patients if p["claim"] == claim.text and Unit.parse(p["unit"]).task == row.task]
        cells.append(
            {
                "task": row.task,
                "verdict": row.verdict,
                "kind": _KINDS[row.verdict],
                "mean": None if d is None else d.mean,
                "low": d and d.low,
                "high": d and d.high,
                "p": row.adjusted,
                "seeds": len(row.seeds),
                "needed": None if d is None else seeds_needed(d, _EFFECT),
                "above": sum(p["low"] > 0 for p in mine),
                "below": sum(p["high"] < 0 for p in mine),
                "compared": len(mine),
            }
        )
    sides = [f"{arm}.{measure}" for arm, measure in (claim.first, claim.second)]
    return {
        "number": number,
        "text": claim.text,
        "first": sides[0],
        "second": sides[1],
        "at_least": claim.at_least,
        "cells": cells,
    }


def _arm(name: str, about: str, found: Sequence[Trained], tasks: Sequence[str]) -> dict[str, Any]:
    mine = [t for t in found if t.arm == name and not t.missing]
    scores = {
        model: [interval(macro(found, name, model, task, metric)) for task in tasks for metric in METRICS[task]]
        for model in MODELS
    }
    compute = [fmean(getattr(t, key) for t in mine) for key in ("seconds", "iterations", "images")] if mine else None
    return {
        "name": name,
        "about": about,
        "seeds": len(mine),
        "scores": scores,
        "compute": compute,
        "reach": _reach(mine, found, tasks),
    }


def _reach(mine: Sequence[Trained], found: Sequence[Trained], tasks: Sequence[str]) -> list[float | None]:
    """Share of the run until the teacher's validation mean of a task reached 90 % of the best of all runs."""
    shares = []
    for task in tasks:
        best = max((value for t in found for _, value in task_curve(t, task)), default=None)
        reached = [share_to_reach(task_curve(t, task), 0.9 * best) for t in mine] if best is not None else []
        known = [share for share in reached if share is not None]
        shares.append(fmean(known) if known and len(known) == len(reached) else None)
    return shares


def task_curve(trained: Trained, task: str) -> list[tuple[float, float]]:
    """Mean over the units of a task at each validation that all of them have."""
    own = [dict(curve) for unit, curve in trained.curves.items() if Unit.parse(unit).task == task]
    shares = sorted(set.intersection(*(set(curve) for curve in own))) if own else []
    return [(share, fmean(curve[share] for curve in own)) for share in shares]


def forest(plan: Plan, rows: Sequence[Row], task: str) -> Markup:
    """Mean difference and interval of every claim, numbered as in the table."""
    mine = [
        (n, row.difference, row)
        for n, claim in enumerate(plan.claims, 1)
        for row in rows
        if row.claim is claim and row.task == task and row.difference is not None
    ]
    ends = [abs(v) for _, d, _ in mine for v in (d.mean, d.low, d.high) if v is not None]
    reach = 1.08 * max(ends, default=0.1)
    places = {len(mine) - i: n for i, (n, _, _) in enumerate(mine)}
    y = Axis(0.3, len(mine) + 0.7, ticks=list(places), form=lambda v: str(places[int(v)]))
    words = "; ".join(f"claim {n}: {d.mean:+.3f}" for n, d, _ in mine)
    plot = Plot(
        Axis(-reach, reach, "first minus second", form=lambda v: f"{v:+.2g}" if v else "0"),
        y,
        f"Differences, {NAMES[task]}: {words}",
        height=58 + 22 * max(len(mine), 1),
        left=28,
    )
    plot.line([(0.0, 0.3), (0.0, len(mine) + 0.7)], "zero")
    for place, (n, d, row) in zip(places, mine, strict=True):
        kind = _KINDS[row.verdict]
        hint = f"{n}. {row.claim.text}: {d.mean:+.3f}, {row.verdict}"
        if d.low is not None and d.high is not None:
            plot.line([(d.low, place), (d.high, place)], f"range {kind}", hint)
        plot.dots([(value, place) for value in d.values], "seed", radius=1.8)
        plot.dots([(d.mean, place)], kind, hint, radius=4.5)
    return plot.draw()


def curves(plan: Plan, found: Sequence[Trained], task: str) -> tuple[Markup, list[tuple[Markup, str]]]:
    """Validation of the teacher, mean over seeds; and the legend: line and name of the arms."""
    lines, keys = [], []
    for number, arm in enumerate(plan.arms):
        own = [dict(task_curve(t, task)) for t in found if t.arm == arm.name and not t.missing]
        shares = sorted(set.intersection(*(set(c) for c in own))) if own else []
        if shares:
            lines.append((number, arm.name, [(share, fmean(c[share] for c in own)) for share in shares]))
            keys.append((key(number), arm.name))
    values = [value for _, _, line in lines for _, value in line]
    low, high = min(values, default=0.0), max(values, default=1.0)
    x = Axis(0.0, 1.0, "share of the run", form=lambda v: f"{100 * v:.0f} %")
    plot = Plot(x, Axis(low - 0.02, high + 0.02, METRICS[task][0]), f"Learning curves, {NAMES[task]}")
    for number, name, line in lines:
        draw_series(plot, number, line, [name] * len(line))
    return plot.draw(), keys


def _kept(plan: Plan, found: Sequence[Trained]) -> list[dict[str, Any]]:
    rows = []
    for arm in plan.arms:
        by_task = {}
        for task in TASKS:
            means = [
                fmean(v)
                for t in found
                if t.arm == arm.name
                and (v := [value for unit, value in t.kept.items() if Unit.parse(unit).task == task])
            ]
            by_task[task] = interval(means)
        if any(by_task.values()):
            rows.append({"arm": arm.name, "cells": by_task})
    return rows


def _units(plan: Plan, found: Sequence[Trained]) -> list[dict[str, Any]]:
    """Every unit, arm and metric of the teacher and the student, mean over seeds."""
    units = list(dict.fromkeys(unit for t in found for unit in t.units))
    rows = []
    for unit in units:
        for metric in METRICS[Unit.parse(unit).task]:
            cells = []
            for arm in plan.arms:
                pair = []
                for model in ("teacher", "student"):
                    values = [
                        t.scores[model, unit, metric]
                        for t in found
                        if t.arm == arm.name and (model, unit, metric) in t.scores
                    ]
                    pair.append(fmean(values) if values else None)
                cells.append(pair)
            rows.append({"unit": unit, "metric": metric, "cells": cells})
    return rows

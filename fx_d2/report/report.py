"""``report.html`` and ``MODEL_CARD.md`` of a run, from the files in its folder."""

from __future__ import annotations

import datetime
import logging
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode

from .. import __version__
from ..data.errors import DataError, count
from ..evaluation.files import FOLDER, read_table
from ..evaluation.results import MAIN_METRIC
from ..evaluation.tables import Table
from ..schedule import TASKS, Unit
from . import about, pictures, tables
from .card import write_card
from .cases import GROUPS, make_cases
from .charts import number
from .figures import operating_table, unit_figures
from .forgetting import forgetting_tables
from .history import best_iteration, histories, validations
from .image_scores import SELECTION
from .run import Run, read_run
from .templating import render, style_sheet
from .timeline import NARROW, WIDE, cycle_chart, history_chart, run_chart

logger = logging.getLogger(__name__)

PAGE = "report.html"
# Bytes of all radiographs together, and at most of one.
_PICTURES, _PICTURE = 4_500_000, 60_000
# Drawings that are made twice; the style sheet shows the one that fits the screen.
WIDTHS = (("desk", WIDE), ("phone", NARROW))


def write_report(folder: str | Path, cfg: CfgNode) -> Path:
    """Writes both files into the folder; returns the page's path. The datasets need be registered for the pictures.

    Raises:
        ValueError: a file of the folder is damaged; the message names it.
    """
    run = read_run(folder, cfg)
    path = run.folder / PAGE
    path.write_text(render("report.html.jinja", _context(run)), encoding="utf-8")
    write_card(run, _interval_words(run))
    return path


def _context(run: Run) -> dict[str, Any]:
    training = _training(run)
    return {
        "version": __version__,
        "style": style_sheet(),
        "title": run.folder.resolve().name,
        "kicker": "Training run" if run.passes else "Evaluation",
        "lead": _lead(run),
        "date": f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M}",
        "split": run.split,
        "shown": run.shown,
        "models": run.models,
        "notices": _notices(run),
        "headlines": tables.headlines(run),
        "tables": tables.task_tables(run),
        "interval_words": _interval_words(run),
        "training": training,
        "no_training": f"Nothing was trained here: the weights {run.cfg.MODEL.WEIGHTS or '(random)'} were scored.",
        "forgetting": forgetting_tables(run),
        "units": _units(run),
        "data": about.data_section(run),
        "facts": about.facts(run),
        "versions": about.versions(run),
        "changed": about.changed_keys(run.cfg),
        "config": run.cfg.dump(),
        "commands": [session["command"] for session in run.record["sessions"]],
    }


def _lead(run: Run) -> str:
    datasets = {Unit.parse(unit).dataset for unit in run.units}
    tasks = [tables.TITLES[task].lower() for task in TASKS if any(unit.endswith(f"/{task}") for unit in run.units)]
    words = f"{count(len(run.units), 'unit')} of {count(len(datasets), 'dataset')}: {', '.join(tasks)}"
    return f"{words}. Scored on the {run.split} split." if run.models else f"{words}."


def _notices(run: Run) -> list[str]:
    """What the reader must know before any number."""
    notices = []
    total = run.cycle_length * run.cycles
    if run.passes and run.done < total:
        notices.append(f"This run stopped at iteration {run.done:,} of {total:,}; what follows is how far it came.")
    if run.models and "teacher" not in run.models:
        notices.append("The weights hold no teacher; only the student was scored.")
    missing = [unit for unit in run.units if not run.scored(unit)]
    if run.models and missing:
        notices.append(f"Not scored, since the dataset has no {run.split} split: {', '.join(missing)}.")
    if run.passes and not validations(run):
        notices.append(
            "No validation was scored during training, so the curves have no points and no best checkpoint was chosen."
        )
    return notices


def _interval_words(run: Run) -> str:
    options = run.details.get("options", {})
    methods = {entry["method"] for entry in run.details.get("metrics", {}).values() if entry.get("method")}
    if not methods:
        return "No intervals were computed."
    return f"{100 * options.get('confidence', 0.95):g} % intervals: {', '.join(sorted(methods))}."


def _training(run: Run) -> dict[str, Any] | None:
    if not run.passes:
        return None
    tasks = [task for task in TASKS if any(scheduled.task == task for scheduled in run.passes)]
    words = (
        f"A cycle walks {count(len({s.unit for s in run.passes}), 'unit')} in {count(len(run.passes), 'pass')} of "
        f"{run.cycle_length:,} iterations; {count(run.cycles, 'cycle')} in all."
    )
    charts = [(h.unit, Unit.parse(h.unit).task, history_chart(h, max(run.done, 1))) for h in histories(run)]
    return {
        "words": words,
        "tasks": [(task, tables.TITLES[task]) for task in tasks],
        "cycle": [(name, cycle_chart(run.passes, width)) for name, width in WIDTHS],
        "run": [
            (name, run_chart(run.cycle_length, run.cycles, run.done, validations(run), best_iteration(run), width))
            for name, width in WIDTHS
        ],
        "passes": run.passes,
        "histories": charts,
    }


def _units(run: Run) -> list[dict[str, Any]]:
    scored = [unit for unit in run.units if run.scored(unit)]
    cases = max(1, 3 * run.cfg.FX.EVAL.REPORT_CASES * len(scored))
    budget = min(_PICTURE, _PICTURES // cases)
    return [_unit(run, unit, budget) for unit in scored]


def _unit(run: Run, unit: str, budget: int) -> dict[str, Any]:
    task = Unit.parse(unit).task
    metric = MAIN_METRIC[task]
    table, problem = _table(run, unit)
    gallery, problem = _gallery(run, unit, table, budget) if table is not None else (None, problem)
    values = ", ".join(f"{model} {number(run.unit_metrics(model, unit).get(metric))}" for model in run.models)
    return {
        "name": unit,
        "task": task,
        "anchor": tables.anchor(unit),
        "shown": run.shown,
        "summary": f"{metric} {values}",
        "words": tables.comparison(run, unit),
        "tables": tables.unit_tables(run, unit),
        "figures": unit_figures(run, unit),
        "operating": operating_table(run.unit_details(run.shown, unit)),
        "confusion": run.unit_details(run.shown, unit).get("confusion"),
        "legend": pictures.legend(run.classes(unit)),
        "gallery": gallery,
        "no_gallery": problem,
    }


def _table(run: Run, unit: str) -> tuple[Table | None, str]:
    """Truth and predictions of the shown model; without them, why."""
    if run.manifest is None or unit not in run.manifest.units:
        return None, "No pictures: the predictions were not kept (FX.EVAL.PREDICTIONS)."
    try:
        exclusive = run.manifest.units[unit].get("exclusive", False)
        return read_table(run.folder / FOLDER, run.shown, unit, run.split, exclusive), ""
    except DataError as error:
        logger.warning("report: %s", error)
        return None, f"No pictures: {error}"


def _gallery(run: Run, unit: str, table: Table, budget: int) -> tuple[dict[str, Any] | None, str]:
    if not run.cfg.FX.EVAL.REPORT_CASES:
        return None, "No pictures were asked for (FX.EVAL.REPORT_CASES)."
    parsed = Unit.parse(unit)
    try:
        cases = make_cases(parsed, run.split, table, run.cfg.FX.EVAL.REPORT_CASES, max(run.cfg.SEED, 0))
    except ValueError as error:
        logger.warning("report: %s has no pictures: %s", unit, error)
        return None, f"No pictures, since the dataset is not at hand: {error}"
    groups = [
        {"title": name.capitalize(), "cases": [_picture(case, budget) for case in cases[name]]}
        for name in GROUPS
        if cases[name]
    ]
    return {"words": SELECTION[parsed.task], "groups": groups}, "No image of this unit has a known truth."


def _picture(case: pictures.Case, budget: int) -> dict[str, Any]:
    return {
        "picture": pictures.draw_case(case, budget),
        "findings": [(name, label, score) for name, label, score, _ in case.findings],
        "score": case.score,
        "image_id": case.image_id,
        "remark": case.remark,
    }

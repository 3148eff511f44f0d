"""``MODEL_CARD.md``: what the run knows about its model, and the lines that only its authors can fill."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

from .. import __version__
from ..data.builtin import DATASETS
from ..data.catalog import register_datasets
from ..data.errors import DataError
from ..evaluation.results import TABLE_METRICS
from ..schedule import Unit
from . import about
from .charts import number
from .forgetting import forgetting_tables
from .run import Run
from .templating import render

CARD = "MODEL_CARD.md"
_FACTS = ("cycles", "iterations", "images seen", "weights", "seed", "region gate", "device", "time")


def write_card(run: Run, interval_words: str) -> Path:
    """Writes the card into the run's folder, over an earlier one unless somebody has edited that one.

    An edited card (its text is not what was written last, kept in ``.model_card``) stays; the new one goes beside it as
    ``MODEL_CARD.new.md``.
    """
    text = render("MODEL_CARD.md.jinja", _context(run, interval_words))
    path, memory = run.folder / CARD, run.folder / ".model_card"
    written = memory.read_text(encoding="utf-8") if memory.is_file() else None
    if path.is_file() and path.read_text(encoding="utf-8") != written:
        path = path.with_suffix(".new.md")
    else:
        memory.write_text(text, encoding="utf-8")
    path.write_text(text, encoding="utf-8")
    return path


def _context(run: Run, interval_words: str) -> dict[str, Any]:
    data = about.data_section(run)
    notes = _notes(run)
    rows = [{**row, "notes": notes.get(Unit.parse(row["unit"]).dataset, "")} for row in data["rows"]]
    forgetting = forgetting_tables(run)["matrices"]
    return {
        "title": run.folder.resolve().name,
        "version": __version__,
        "date": f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d}",
        "size": run.cfg.INPUT.SIZE,
        "outputs": _outputs(run),
        "facts": [(name, value) for name, value in about.facts(run) if name in _FACTS],
        "splits": data["splits"],
        "data": rows,
        "overlaps": data["overlaps"],
        "checked": data["checked"],
        "interval_words": interval_words,
        "split": run.split if run.models else "",
        "models": run.models,
        "metrics": _metrics(run),
        "forgetting": forgetting[0]["summary"] if forgetting else "",
        "best": run.cfg.FX.EVAL.BEST,
        "val_split": run.cfg.FX.EVAL.VAL_SPLIT,
    }


def _outputs(run: Run) -> str:
    kinds = {"cls": "scores of findings", "box": "boxes with scores", "mask": "masks"}
    return "; ".join(
        f"{words} for {', '.join(names)}"
        for task, words in kinds.items()
        if (names := [Unit.parse(unit).dataset for unit in run.units if unit.endswith(f"/{task}")])
    )


def _notes(run: Run) -> dict[str, str]:
    """What the catalog says about each dataset; of the published ones alone where a declaration is not at hand."""
    published = {entry.name: entry.notes for entry in DATASETS}
    try:
        records = register_datasets(run.cfg.DATASETS.FILES, run.cfg.DATASETS.OPTIONS)
    except DataError:
        return published
    return {**published, **{name: record.notes for name, record in records.items() if record.notes}}


def _metrics(run: Run) -> list[dict[str, Any]]:
    rows = []
    for unit in run.units:
        if run.scored(unit):
            for name in TABLE_METRICS[Unit.parse(unit).task]:
                rows.append(
                    {"unit": unit, "metric": name, "cells": [_cell(run.metric(m, unit, name)) for m in run.models]}
                )
    return rows


def _cell(entry: dict[str, Any]) -> str:
    interval = "" if entry.get("low") is None else f" [{number(entry['low'])}, {number(entry['high'])}]"
    return number(entry.get("value")) + interval

"""Curves and passes of a run."""

from __future__ import annotations

from ..evaluation.results import MAIN_METRIC
from .run import Run
from .timeline import History

MODELS = ("teacher", "student")


def histories(run: Run) -> list[History]:
    """One for each unit that was trained, in the order of the cycle."""
    units = list(dict.fromkeys(scheduled.unit for scheduled in run.passes))
    return [_history(run, unit) for unit in units]


def _history(run: Run, unit: str) -> History:
    metric = MAIN_METRIC[unit.rpartition("/")[2]]
    scores = {model: _points(run, f"val/{model}/{unit}/{metric}") for model in MODELS}
    between = {
        model: [
            (row["iteration"], row["scores"][model][unit])
            for row in run.unit_scores
            if row["scores"].get(model, {}).get(unit) is not None
        ]
        for model in MODELS
    }
    final = {model: run.unit_metrics(model, unit).get(metric) for model in run.models}
    return History(unit, metric, scores, _points(run, f"{unit}/total_loss"), passes_of(run, unit), final, between)


def _points(run: Run, key: str) -> list[tuple[float, float]]:
    return [(iteration, row[key]) for iteration, row in run.rows.items() if key in row]


def passes_of(run: Run, unit: str) -> list[tuple[int, int, bool]]:
    """(first, end, locked) of every pass of a unit, as far as the run came."""
    spans = []
    for cycle in range(-(-run.done // run.cycle_length) if run.cycle_length else 0):
        base = cycle * run.cycle_length
        for scheduled in run.passes:
            if scheduled.unit == unit and base + scheduled.start < run.done:
                spans.append((base + scheduled.start, min(base + scheduled.stop, run.done), scheduled.locked))
    return spans


def validations(run: Run) -> list[int]:
    """Iterations at whose end the validation split was scored."""
    return [iteration for iteration, row in run.rows.items() if any(key.startswith("val/") for key in row)]


def best_iteration(run: Run) -> int | None:
    """Where ``FX.EVAL.BEST`` was highest, the first time; None where it was never scored."""
    key = f"val/{run.cfg.FX.EVAL.BEST}"
    scored = [(row[key], -iteration) for iteration, row in run.rows.items() if key in row]
    return -max(scored)[1] if scored else None

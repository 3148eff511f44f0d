"""From what runs measured to claims: differences paired by seed, per task, and by patients within a seed."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data.errors import DataError
from ..evaluation.rescore import compare_folders
from ..evaluation.results import MAIN_METRIC
from ..schedule import Unit
from .collect import MODELS, Trained
from .plan import Claim, Plan
from .statistics import UNDECIDED, Difference, holm, paired_difference, verdict

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Row:
    """A claim for one task. ``difference``: None where no seed has both sides; ``units``: that were compared."""

    claim: Claim
    task: str
    difference: Difference | None
    adjusted: float | None
    verdict: str
    seeds: tuple[int, ...]
    units: tuple[str, ...]


def judge(plan: Plan, found: Sequence[Trained]) -> list[Row]:
    """Every claim for every task; p-values are corrected over all of them (Holm)."""
    runs = {(t.arm, t.seed): t for t in found}
    rows = []
    for claim in plan.claims:
        for task in claim.tasks:
            seeds, values, units = differences(runs, claim, task)
            if units:
                rows.append((claim, task, paired_difference(values, claim.at_least) if values else None, seeds, units))
    adjusted = holm([None if difference is None else difference.p_value for _, _, difference, _, _ in rows])
    judged = []
    for (claim, task, difference, seeds, units), p in zip(rows, adjusted, strict=True):
        words = UNDECIDED if difference is None else verdict(difference, p, claim.at_least, claim.margin)
        judged.append(Row(claim, task, difference, p, words, seeds, units))
    return judged


def differences(
    runs: Mapping[tuple[str, int], Trained], claim: Claim, task: str
) -> tuple[tuple[int, ...], list[float], tuple[str, ...]]:
    """Seeds, and for each the mean over units of first minus second.

    Only units that all seeds have on both sides count, so that every seed means the same; a seed whose arm is not
    complete is left out.
    """
    (first, measure), (second, other) = claim.first, claim.second
    pairs: dict[int, dict[str, float]] = {}
    for seed in sorted({seed for _, seed in runs}):
        a, b = runs.get((first, seed)), runs.get((second, seed))
        if a is None or b is None or a.missing or b.missing:
            continue
        values = {}
        for unit in (unit for unit in a.units if Unit.parse(unit).task == task):
            x, y = a.value(measure, unit), b.value(other, unit)
            if x is not None and y is not None:
                values[unit] = x - y
        pairs[seed] = values
    shared = [set(values) for values in pairs.values() if values]
    units = tuple(sorted(set.intersection(*shared))) if shared else ()
    kept = {seed: values for seed, values in pairs.items() if set(units) <= set(values)} if units else {}
    return tuple(kept), [float(np.mean([values[u] for u in units])) for values in kept.values()], units


def within_seeds(plan: Plan, found: Sequence[Trained], bootstraps: int) -> list[dict[str, Any]]:
    """Of claims about test scores, each seed and unit with a 95 % interval over patients (paired bootstrap)."""
    runs = {(t.arm, t.seed): t for t in found}
    rows, known = [], {}
    for claim in plan.claims if bootstraps else ():
        if claim.first[1] not in MODELS or claim.first[1] != claim.second[1]:
            continue
        for seed in sorted({seed for _, seed in runs}):
            a, b = runs.get((claim.first[0], seed)), runs.get((claim.second[0], seed))
            if a is None or b is None:
                continue
            for unit in (unit for unit in a.units if unit in b.units):
                folders = a.predictions[unit], b.predictions[unit]
                if (folders, unit) not in known:
                    known[folders, unit] = _compare(*folders, unit, bootstraps)
                row = known[folders, unit].get(f"{claim.first[1]}/{unit}")
                if row is not None:
                    arms = {"first": claim.first[0], "second": claim.second[0]}
                    rows.append({"claim": claim.text, **arms, "seed": seed, "unit": unit, **row})
    return rows


def _compare(first, second, unit: str, bootstraps: int) -> dict[str, dict[str, float]]:
    try:
        compared = compare_folders(first, second, [unit], bootstraps=bootstraps)
    except DataError as error:
        logger.warning("not compared: %s", error)
        return {}
    metric = MAIN_METRIC[Unit.parse(unit).task]
    rows = {name: metrics[metric] for name, metrics in compared.items() if metric in metrics}
    return {
        name: {key: row[key] for key in ("difference", "low", "high")} for name, row in rows.items() if "low" in row
    }


def macro(found: Sequence[Trained], arm: str, model: str, task: str, metric: str) -> list[float]:
    """Mean over the units of a task, for each complete seed of an arm."""
    means = []
    for trained in (t for t in found if t.arm == arm and not t.missing):
        values = [
            v
            for (m, unit, name), v in trained.scores.items()
            if (m, name) == (model, metric) and Unit.parse(unit).task == task
        ]
        if values:
            means.append(float(np.mean(values)))
    return means


def interval(values: Sequence[float]) -> dict[str, float | None] | None:
    """Mean over seeds and its 95 % interval, None without seeds."""
    if not values:
        return None
    d = paired_difference(values)
    return {"mean": d.mean, "low": d.low, "high": d.high}

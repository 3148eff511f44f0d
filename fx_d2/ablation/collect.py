"""What finished runs measured, by arm and seed."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..evaluation.results import MAIN_METRIC
from ..report.forgetting import forgetting_matrix
from ..report.run import UNIT_SCORES
from ..schedule import Unit
from .plan import Job, Plan
from .runs import finished

METRICS = {"cls": ("AUROC",), "box": ("AP50", "AP40"), "mask": ("Dice",)}
MODELS = ("student", "teacher")
# Point of a learning curve: share of the run, and the score.
Curve = list[tuple[float, float]]


@dataclass
class Trained:
    """One arm and seed; the runs of a single-task arm together.

    Attributes:
        scores: on the test split, by (model, unit, metric). middle: validation in mid-run, by (model, unit).
        kept: by unit. curves: validation of the teacher, by unit. missing: units whose run is not finished.
    """

    arm: str
    seed: int
    scores: dict[tuple[str, str, str], float] = field(default_factory=dict)
    middle: dict[tuple[str, str], float] = field(default_factory=dict)
    kept: dict[str, float] = field(default_factory=dict)
    curves: dict[str, Curve] = field(default_factory=dict)
    predictions: dict[str, Path] = field(default_factory=dict)
    seconds: float = 0.0
    iterations: int = 0
    images: int = 0
    missing: int = 0

    def value(self, measure: str, unit: str) -> float | None:
        """A measure of :data:`fx_d2.ablation.plan.MEASURES`; None where it was not taken or is undefined."""
        if measure == "kept":
            return self.kept.get(unit)
        if measure.endswith("_mid"):
            return self.middle.get((measure.removesuffix("_mid"), unit))
        return self.scores.get((measure, unit, MAIN_METRIC[Unit.parse(unit).task]))

    @property
    def units(self) -> list[str]:
        return list(dict.fromkeys(unit for _, unit, _ in self.scores))


def collect(plan: Plan, jobs: Sequence[Job], folder: Path) -> list[Trained]:
    """All arms and seeds of which at least one run is finished."""
    found: dict[tuple[str, int], Trained] = {}
    for job in jobs:
        trained = found.setdefault((job.arm, job.seed), Trained(job.arm, job.seed))
        if finished(folder, job, plan.base):
            _read(trained, folder / job.folder)
        else:
            trained.missing += 1
    return [trained for trained in found.values() if trained.scores]


def _read(trained: Trained, folder: Path) -> None:
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    for model in MODELS:
        for dataset, tasks in results.get(model, {}).items():
            for task, metrics in tasks.items():
                unit = f"{dataset}/{task}"
                trained.predictions[unit] = folder / "predictions"
                for name in METRICS[task]:
                    if metrics.get(name) is not None:
                        trained.scores[model, unit, name] = metrics[name]
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    schedule = run["schedule"]
    length = sum(entry["steps"] for entry in schedule["passes"])
    total = length * schedule["cycles"]
    trained.iterations += total
    trained.images += schedule["cycles"] * sum(entry["images"] for entry in schedule["passes"])
    trained.seconds += sum(_duration(session) for session in run["sessions"])
    _read_curves(trained, folder, total)
    _read_kept(trained, folder)


def _duration(session: dict[str, Any]) -> float:
    """Seconds of a session that came to its end; 0 of one that was killed."""
    if not session["ended"]:
        return 0.0
    began, ended = (datetime.datetime.fromisoformat(session[key]) for key in ("began", "ended"))
    return (ended - began).total_seconds()


def _read_curves(trained: Trained, folder: Path, total: int) -> None:
    points: dict[tuple[str, str], Curve] = {}
    for row in _lines(folder / "metrics.json"):
        for key, value in row.items():
            parts = key.split("/")
            if parts[0] == "val" and len(parts) == 5 and parts[4] == MAIN_METRIC[parts[3]]:
                points.setdefault((parts[1], f"{parts[2]}/{parts[3]}"), []).append(
                    ((row["iteration"] + 1) / total, value)
                )
    for (model, unit), curve in points.items():
        trained.middle[model, unit] = min(curve, key=lambda point: abs(point[0] - 0.5))[1]
        if model == "teacher":
            trained.curves[unit] = curve


def _read_kept(trained: Trained, folder: Path) -> None:
    rows = list(_lines(folder / UNIT_SCORES)) if (folder / UNIT_SCORES).is_file() else []
    units = list(dict.fromkeys(row["after"] for row in rows if row["after"]))
    if not units:
        return
    change, _ = forgetting_matrix(rows, units, "student")
    np.fill_diagonal(change, 0.0)
    for unit, row in zip(units, change, strict=True):
        if np.isfinite(row).all():
            trained.kept[unit] = float(row.sum())


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as stream:
        for line in stream:
            yield json.loads(line)


def share_to_reach(curve: Curve, score: float) -> float | None:
    """Share of the run until a validation reached a score, None if none did."""
    return next((share for share, value in curve if value >= score), None)

"""Scores all units between units: what the report's forgetting matrix is made of."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

from detectron2.engine import HookBase
from detectron2.utils import comm

from ...evaluation.results import MAIN_METRIC
from ...report.run import UNIT_SCORES
from ...schedule import CycleSchedule, Unit
from ..evaluate import Results

logger = logging.getLogger(__name__)


class UnitScores(HookBase):
    """In every ``cycles``-th cycle, scores every unit before the first unit and after each one has trained.

    A line a measurement is appended to ``unit_scores.jsonl``: ``cycle`` (from 1), ``after`` (the unit that has just
    trained, null before the first), ``begun`` and ``iteration`` (steps done before that unit and after it), ``scores``
    by model and unit (the main metric of the task, null where undefined). A resumed run may write a line again; the
    later one holds.

    Args:
        cycles: 0 switches it off.
        score: validation of all units; a collective call.
        folder: where the file goes.
    """

    def __init__(self, cycles: int, score: Callable[[], Results], folder: str | Path) -> None:
        self.cycles, self.score, self.path = cycles, score, Path(folder) / UNIT_SCORES

    def before_train(self) -> None:
        self._spans = unit_spans(self.trainer.schedule)
        # A resumed run begins with after_step of the saved iteration, which measures the beginning of a cycle.
        if self.trainer.start_iter == 0 and self._wanted(0):
            self._measure(0, 0, None)

    def after_step(self) -> None:
        cycle, step = divmod(self.trainer.iter, self.trainer.schedule.cycle_length)
        ended = [(unit, begin) for unit, (begin, end) in self._spans.items() if end == step + 1]
        if ended and self._wanted(cycle):
            self._measure(cycle, step + 1, *ended[0])
        elif step + 1 == self.trainer.schedule.cycle_length and self._wanted(cycle + 1):
            self._measure(cycle + 1, 0, None)

    def _wanted(self, cycle: int) -> bool:
        """``cycle``: from 0; the one beyond the last is never wanted."""
        return self.cycles > 0 and cycle < self.trainer.schedule.cycles and (cycle + 1) % self.cycles == 0

    def _measure(self, cycle: int, offset: int, unit: Unit | None, begin: int = 0) -> None:
        results = self.score()
        if not comm.is_main_process():
            return
        start = cycle * self.trainer.schedule.cycle_length
        row = {
            "cycle": cycle + 1,
            "after": None if unit is None else str(unit),
            "begun": start + begin,
            "iteration": start + offset,
            "scores": main_scores(results),
        }
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, allow_nan=False) + "\n")
        logger.info(
            "scores between units, cycle %d, %s", cycle + 1, f"after {unit}" if unit else "before the first unit"
        )


def unit_spans(schedule: CycleSchedule) -> dict[Unit, tuple[int, int]]:
    """Steps done within the cycle before each unit begins and after its last pass."""
    spans: dict[Unit, tuple[int, int]] = {}
    done = 0
    for scheduled in schedule.passes:
        begin = spans[scheduled.unit][0] if scheduled.unit in spans else done
        done += scheduled.steps
        spans[scheduled.unit] = (begin, done)
    return spans


def main_scores(results: Results) -> dict[str, dict[str, float | None]]:
    """``{model: {unit: value}}`` of the metric that stands for the task."""
    return {
        model: {
            f"{dataset}/{task}": metrics.get(MAIN_METRIC[task])
            for dataset, tasks in datasets.items()
            for task, metrics in tasks.items()
        }
        for model, datasets in results.items()
    }

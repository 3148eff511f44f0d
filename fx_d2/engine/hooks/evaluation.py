"""Scores the validation split every so many cycles."""

from __future__ import annotations

import logging
from collections.abc import Callable

from detectron2.engine import HookBase
from detectron2.utils import comm

from ...evaluation.results import flatten, mean_scores, results_table
from ..evaluate import Results

logger = logging.getLogger(__name__)


class Evaluation(HookBase):
    """Runs ``score`` at the end of every ``cycles``-th cycle and stores its metrics as ``val/{key}``."""

    def __init__(self, cycles: int, score: Callable[[], Results]) -> None:
        self.cycles, self.score = cycles, score

    def after_step(self) -> None:
        trainer = self.trainer
        done, rest = divmod(trainer.iter + 1, trainer.schedule.cycle_length)
        if rest or not self.cycles or done % self.cycles:
            return
        results = self.score()
        if not comm.is_main_process():
            return
        logger.info("validation after cycle %d\n%s", done, results_table(results))
        scalars = {**flatten(results), **mean_scores(results)}
        for key, value in scalars.items():
            if value is not None:
                trainer.storage.put_scalar(f"val/{key}", value, smoothing_hint=False)

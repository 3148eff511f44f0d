"""Saves the run: every so many cycles, at the end, and when it is asked to stop."""

from __future__ import annotations

import logging

from detectron2.engine import HookBase
from detectron2.utils import comm

from ..checkpoint import FXCheckpointer
from ..preemption import Preempted

logger = logging.getLogger(__name__)


class SaveCheckpoint(HookBase):
    """A checkpoint says: the step of its iteration is done, the hooks after this one are not.

    A resumed run therefore begins with those (evaluation, best, writers) for that iteration.

    Args:
        period: iterations between two checkpoints.
        keep: how many of them stay; 0 for all. The best and the final one stay anyway.
    """

    def __init__(self, checkpointer: FXCheckpointer, period: int, keep: int) -> None:
        self.checkpointer, self.period, self.keep = checkpointer, period, keep
        self._saved = -1

    def after_step(self) -> None:
        trainer = self.trainer
        if (trainer.iter + 1) % self.period == 0 or trainer.stopping:
            self.save_now()
        if trainer.iter == trainer.max_iter - 1:
            self.checkpointer.save("model_final", iteration=trainer.iter)
        elif trainer.stopping:
            comm.synchronize()  # nobody leaves before the file is there
            raise Preempted(trainer.stop.received or "another process was asked to stop")

    def save_now(self) -> None:
        """Saves the present iteration, unless its step is not finished or that has been done."""
        iteration = self.trainer.iter
        if self.trainer.finished_steps > iteration != self._saved:
            self.checkpointer.save(f"model_{iteration:07d}", iteration=iteration)
            self.checkpointer.prune(self.keep)
            self._saved = iteration

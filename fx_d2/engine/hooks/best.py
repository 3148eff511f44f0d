"""Keeps the checkpoint with the best validation metric."""

from __future__ import annotations

import logging

from detectron2.engine import HookBase

from ..checkpoint import BEST, FXCheckpointer

logger = logging.getLogger(__name__)


class BestCheckpoint(HookBase):
    """Saves ``model_best.pth`` when ``val/{metric}`` reaches a new maximum; remembers the best value across a resume.

    An evaluation in which the metric is undefined (a class without a positive) chooses nothing. That there is such a
    metric was checked before the training.
    """

    def __init__(self, metric: str, checkpointer: FXCheckpointer) -> None:
        self.metric, self.checkpointer = metric, checkpointer
        self.best: float | None = None
        self.iteration = -1

    def after_step(self) -> None:
        latest = self.trainer.storage.latest()
        fresh = {key for key, (_, when) in latest.items() if key.startswith("val/") and when == self.trainer.iter}
        if not fresh:
            return
        key = f"val/{self.metric}"
        if key not in fresh:
            logger.warning("%s is undefined in this evaluation: no checkpoint is chosen by it", self.metric)
            return
        value = latest[key][0]
        if self.best is None or value > self.best:
            self.best, self.iteration = value, self.trainer.iter
            self.checkpointer.save(BEST, iteration=self.trainer.iter)
            logger.info("best %s so far: %.4f", self.metric, value)

    def state_dict(self) -> dict:
        return {"best": self.best, "iteration": self.iteration}

    def load_state_dict(self, state: dict) -> None:
        self.best, self.iteration = state["best"], state["iteration"]

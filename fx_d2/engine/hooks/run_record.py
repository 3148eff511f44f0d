"""Keeps ``run.json`` up to date: when a run began and ended, with what, on how much data, and how far it came."""

from __future__ import annotations

from collections.abc import Mapping

from detectron2.engine import HookBase

from ...schedule import Unit
from ..run_record import begin_session, end_session, note_images


class RunRecord(HookBase):
    """One session a process start; a killed run keeps its session without an end. Main process only.

    Args:
        sizes: training images of each unit.
    """

    def __init__(self, folder: str, device: str, sizes: Mapping[Unit, int]) -> None:
        self.folder, self.device, self.sizes = folder, device, sizes
        self._begun = False

    def before_train(self) -> None:
        begin_session(self.folder, "training", self.device, self.trainer.start_iter, self.trainer.schedule)
        note_images(self.folder, {unit: {"train": size} for unit, size in self.sizes.items()})
        self._begun = True

    def after_train(self) -> None:
        if self._begun:  # not so where another hook failed before the first step
            end_session(self.folder, self.trainer.finished_steps)

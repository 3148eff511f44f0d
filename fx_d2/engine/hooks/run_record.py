"""Keeps ``run.json`` up to date: when a run began and ended, with what, and how far it came."""

from __future__ import annotations

from detectron2.engine import HookBase

from ..reporting.record import begin_session, count_images, end_session


class RunRecord(HookBase):
    """One session a process start; a killed run keeps its session without an end. Main process only."""

    def __init__(self, folder: str, device: str) -> None:
        self.folder, self.device = folder, device

    def before_train(self) -> None:
        begin_session(self.folder, "training", self.device, self.trainer.start_iter, self.trainer.schedule)
        count_images(self.folder, self.trainer.schedule.units, ["train"])

    def after_train(self) -> None:
        end_session(self.folder, self.trainer.iter)

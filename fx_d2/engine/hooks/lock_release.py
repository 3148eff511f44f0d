"""Applies the lock of the pass before its first step."""

from __future__ import annotations

import logging

from detectron2.engine import HookBase

logger = logging.getLogger(__name__)


class LockRelease(HookBase):
    """Keeps no state: the lock of an iteration follows from the schedule, so a resumed run finds it again.

    The optimizer holds all parameters from before the first lock. ``training``: see
    :func:`~fx_d2.engine.locking.apply_lock`.
    """

    def __init__(self, training: bool = False) -> None:
        self.training = training

    def before_train(self) -> None:
        self._applied = None
        self._told: set[tuple] = set()

    def before_step(self) -> None:
        slot = self.trainer.slot
        if slot.pass_key == self._applied:
            return
        report = self.trainer.lock(self.trainer.student.trainable_parts(slot.unit, slot.plan.train), self.training)
        self._applied = slot.pass_key
        # The same lock comes again in every cycle, with mixed order at most steps: once is news.
        told = (slot.unit, slot.plan.train)
        if told not in self._told:
            self._told.add(told)
            logger.info("%s %s: %s", slot.unit, "locked" if slot.locked else "released", report)

"""One readable line about the running pass."""

from __future__ import annotations

import datetime
import logging
import time

from detectron2.utils.events import EventWriter, get_event_storage

from ...schedule import CycleSchedule

logger = logging.getLogger(__name__)


class ProgressPrinter(EventWriter):
    """Logs unit, pass, locked or released, losses, learning rate, seconds a step and the time left.

    The time left assumes that the coming steps take as long as those so far did on average.
    """

    def __init__(self, schedule: CycleSchedule) -> None:
        self.schedule = schedule
        self._last: tuple[int, float] | None = None

    def write(self) -> None:
        storage = get_event_storage()
        iteration = storage.iter
        finished = "lr" in storage.latest()  # not so where the very first step failed
        if not finished or iteration >= len(self.schedule) or (self._last and self._last[0] == iteration):
            return
        slot = self.schedule.at(iteration)
        prefix = f"{slot.unit}/"
        losses = {
            key[len(prefix) :]: value
            for key, (value, when) in storage.latest().items()
            if key.startswith(prefix) and when == iteration
        }
        total = losses.pop("total_loss", float("nan"))
        parts = " ".join(f"{name.removeprefix('loss_')} {value:.3f}" for name, value in losses.items())
        logger.info(
            "%s  loss %.3f (%s)  lr %.1e  %s",
            slot.describe(self.schedule.cycles),
            total,
            parts,
            storage.latest()["lr"][0],
            self._pace(iteration),
        )

    def _pace(self, iteration: int) -> str:
        now = time.perf_counter()
        last, self._last = self._last, (iteration, now)
        if last is None:
            self._first = (iteration, now)
            return ""
        mean = (now - self._first[1]) / (iteration - self._first[0])
        left = datetime.timedelta(seconds=round(mean * (len(self.schedule) - 1 - iteration)))
        return f"{(now - last[1]) / (iteration - last[0]):.2f} s/step  eta {left}"

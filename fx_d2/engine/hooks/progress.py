"""One readable line about the running pass, with the time left of the pass, the cycle and the run."""

from __future__ import annotations

import datetime
import itertools
import logging
import time

from detectron2.utils.events import EventStorage, EventWriter, get_event_storage

from ...schedule import CycleSchedule

logger = logging.getLogger(__name__)


class Pace:
    """Seconds a step, kept apart for every pass of the cycle: a locked pass of findings is not a released one of boxes.

    What the steps do not account for (evaluation, checkpoints) is spread evenly over the steps so far and counted into
    the time left of the cycle and the run, not of the pass.
    """

    def __init__(self, schedule: CycleSchedule) -> None:
        self.schedule = schedule
        # Of each pass of the cycle: steps timed, their seconds.
        self._spent = {(scheduled.unit, scheduled.pass_index): [0, 0.0] for scheduled in schedule.passes}
        self._steps, self._seconds, self._wall = 0, 0.0, 0.0
        self._seen = -1.0
        self._clock: float | None = None

    def add(self, storage: EventStorage) -> tuple[float, float]:
        """Takes in the steps since the last call; returns their images a second and seconds a step (0, 0 without any).

        The step times are those that Detectron2's ``IterationTimer`` writes.
        """
        fresh = _times_after(storage, self._seen)
        images = seconds = 0.0
        for value, iteration in fresh:
            slot = self.schedule.at(int(iteration))
            spent = self._spent[slot.unit, slot.pass_index]
            spent[0] += 1
            spent[1] += value
            images += slot.stop - slot.start
            seconds += value
        passed = 0
        if fresh:
            # The storage may remember fewer steps than have passed since the last call.
            passed, self._seen = int(fresh[-1][1] - self._seen), fresh[-1][1]
        now = time.perf_counter()
        if self._clock is not None:  # the first call has no beginning to measure from
            self._wall += now - self._clock
            self._steps += passed
            self._seconds += seconds * passed / max(len(fresh), 1)
        self._clock = now
        return (images / seconds, seconds / len(fresh)) if seconds else (0.0, 0.0)

    def left(self, iteration: int) -> tuple[float, float, float] | None:
        """Seconds left of the pass, the cycle and the run after ``iteration``; None before any step was timed."""
        steps = sum(n for n, _ in self._spent.values())
        if not steps:
            return None
        mean = sum(s for _, s in self._spent.values()) / steps
        overhead = max(0.0, self._wall - self._seconds) / self._steps if self._steps else 0.0
        slot = self.schedule.at(iteration)
        lengths = {key: scheduled.steps for key, scheduled in zip(self._spent, self.schedule.passes, strict=True)}
        costs = {key: steps * self._step(key, mean) for key, steps in lengths.items()}
        now = list(costs).index((slot.unit, slot.pass_index))
        of_pass = (slot.steps - 1 - slot.step) * self._step((slot.unit, slot.pass_index), mean)
        length = self.schedule.cycle_length
        rest = length - 1 - iteration % length
        of_cycle = of_pass + sum(list(costs.values())[now + 1 :]) + rest * overhead
        cycles = self.schedule.cycles - 1 - slot.cycle
        return of_pass, of_cycle, of_cycle + cycles * (sum(costs.values()) + length * overhead)

    def _step(self, key: tuple, mean: float) -> float:
        """Mean seconds of a step of a pass; of all passes where it was not seen yet."""
        steps, seconds = self._spent[key]
        return seconds / steps if steps else mean


def _times_after(storage: EventStorage, iteration: float) -> list[tuple[float, float]]:
    """(seconds, iteration) of the steps timed after ``iteration``, in order; walks back from the newest."""
    if "time" not in storage.histories():
        return []
    newest_first = reversed(storage.history("time").values())
    return list(itertools.takewhile(lambda entry: entry[1] > iteration, newest_first))[::-1]


def duration(seconds: float) -> str:
    """``0:04:10``, ``2 days, 3:00:00``."""
    return str(datetime.timedelta(seconds=round(seconds)))


class ProgressPrinter(EventWriter):
    """Logs unit, pass, locked or released, losses, learning rate, images and seconds a step, the time left."""

    def __init__(self, schedule: CycleSchedule) -> None:
        self.schedule = schedule
        self._pace = Pace(schedule)
        self._last: int | None = None

    def write(self) -> None:
        storage = get_event_storage()
        iteration = storage.iter
        finished = "lr" in storage.latest()  # not so where the very first step failed
        if not finished or iteration >= len(self.schedule) or self._last == iteration:
            return
        self._last = iteration
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
            "%s  loss %.3f (%s)  lr %.1e%s",
            slot.describe(self.schedule.cycles),
            total,
            parts,
            storage.latest()["lr"][0],
            self._speed(storage, iteration),
        )

    def _speed(self, storage: EventStorage, iteration: int) -> str:
        images, seconds = self._pace.add(storage)
        left = self._pace.left(iteration)
        if left is None or not seconds:
            return ""
        of_pass, of_cycle, of_run = map(duration, left)
        return f"  {images:.1f} img/s  {seconds:.2f} s/step  left: pass {of_pass}, cycle {of_cycle}, run {of_run}"

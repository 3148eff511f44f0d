"""The training cycle as a pure function: iteration -> unit, pass, step and the images of the batch.

Nothing else decides what happens at an iteration; a resumed run stores only the iteration. This file imports only the
standard library.
"""

from __future__ import annotations

import bisect
import difflib
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import accumulate

TASKS = ("cls", "box", "mask")


@dataclass(frozen=True, order=True)
class Unit:
    """One dataset with one task, written ``dataset/task`` (for instance ``node21/box``)."""

    dataset: str
    task: str

    @classmethod
    def parse(cls, text: str) -> Unit:
        """Reads ``dataset/task``; ValueError if the text is not of that form or names another task."""
        dataset, slash, task = text.partition("/")
        if not (dataset and slash) or task not in TASKS:
            raise ValueError(f"unit {text!r} is not of the form dataset/task with task one of {', '.join(TASKS)}")
        return cls(dataset, task)

    def __str__(self) -> str:
        return f"{self.dataset}/{self.task}"


@dataclass(frozen=True)
class Pass:
    """One walk over (a part of) a unit's training images.

    Attributes:
        train: ``head`` (Locked: only what is new to the shared network), ``path`` (Released: everything from the image
            to the unit's output) or ``backbone`` alone.
        fraction: share of the unit's images, above 0 and at most 1.
        images: number of images instead of ``fraction``; 0: use the fraction.
        max_images: cap on either; 0: none. What a cap leaves out comes in the next cycle.
    """

    train: str = "path"
    fraction: float = 1.0
    images: int = 0
    max_images: int = 0

    def __post_init__(self) -> None:
        if self.train not in ("head", "path", "backbone"):
            names = "'head' (Locked), 'path' (Released) or 'backbone'"
            raise ValueError(f"pass: train must be {names}, not {self.train!r}")
        if not 0.0 < self.fraction <= 1.0:
            raise ValueError(f"pass: fraction must be above 0 and at most 1, not {self.fraction!r}")
        for name in ("images", "max_images"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise ValueError(f"pass: {name} must be a whole number, 0 or more, not {value!r}")

    @classmethod
    def from_dict(cls, record: Mapping) -> Pass:
        """Builds a pass from a config record; ValueError for an unknown key, which yacs does not notice."""
        names = [field.name for field in fields(cls)]
        for key in record:
            if key not in names:
                close = difflib.get_close_matches(str(key), names, n=1)
                hint = f", did you mean {close[0]!r}?" if close else f"; known: {names}"
                raise ValueError(f"pass: unknown key {key!r}{hint}")
        return cls(**record)

    def length(self, size: int) -> int:
        """Number of images of one pass over a unit of ``size`` images (at least 1)."""
        images = self.images or max(1, round(self.fraction * size))
        return min(images, self.max_images) if self.max_images else images


@dataclass(frozen=True)
class ScheduledPass:
    """One pass of the cycle: pass number ``pass_index`` of the unit."""

    unit: Unit
    pass_index: int
    plan: Pass
    images: int
    steps: int

    @property
    def locked(self) -> bool:
        return self.plan.train == "head"


@dataclass(frozen=True)
class Slot(ScheduledPass):
    """What happens at one iteration: the pass, and the ``step`` within it. All numbers start at 0.

    Attributes:
        start, stop: positions of the batch's images in the endless stream of this (unit, pass): position ``p`` is
            image ``p % n`` of the ``p // n``-th permutation of the unit's ``n`` images. The stream goes on where the
            last cycle's pass ended, so every image is seen equally often however short a pass is.
    """

    iteration: int
    cycle: int
    step: int
    start: int
    stop: int

    @property
    def last_of_pass(self) -> bool:
        return self.step == self.steps - 1

    @property
    def pass_key(self) -> tuple[int, Unit, int]:
        """Identity of the pass within the run."""
        return self.cycle, self.unit, self.pass_index

    def describe(self, cycles: int) -> str:
        """For people: ``cycle 2/30 node21/box locked 5/40``."""
        state = "locked" if self.locked else "released"
        return f"cycle {self.cycle + 1}/{cycles} {self.unit} {state} {self.step + 1}/{self.steps}"


class CycleSchedule:
    """``len(schedule)`` iterations; ``schedule.at(i)`` says what iteration ``i`` does.

    A pass of ``n`` images with batch size ``b`` takes ``ceil(n / b)`` steps whose batches differ by at most
    one image, so that no step is left with a batch of one (25 images, batch 24: 13 + 12, not 24 + 1).

    Args:
        units: order of the cycle. passes: of each task. sizes: training images of each unit.
        batch_size: images per step over all processes.
        order: ``cycle``, or ``mixed``: the same steps of a cycle in an order drawn with ``seed`` (a baseline).

    Raises:
        ValueError: no unit, a unit named twice, a task without a pass, a unit without images.
    """

    def __init__(
        self,
        units: Sequence[Unit],
        passes: Mapping[str, Sequence[Pass]],
        sizes: Mapping[Unit, int],
        batch_size: int,
        cycles: int,
        order: str = "cycle",
        seed: int = 0,
    ) -> None:
        if not units:
            raise ValueError("the cycle has no unit: set FX.CYCLE.UNITS, for instance ['node21/cls', 'node21/box']")
        if batch_size < 1 or cycles < 1:
            raise ValueError(f"batch size ({batch_size}) and number of cycles ({cycles}) must be at least 1")
        repeated = sorted({str(unit) for unit in units if list(units).count(unit) > 1})
        if repeated:
            raise ValueError(f"FX.CYCLE.UNITS names {', '.join(repeated)} more than once")
        self.units = tuple(units)
        self.batch_size = batch_size
        self.cycles = cycles
        self.order, self.seed = order, seed
        self._mixed: tuple[int, list[tuple[int, int]]] = (-1, [])
        self.passes: list[ScheduledPass] = []
        for unit in self.units:
            if sizes[unit] < 1:
                raise ValueError(f"unit {unit} has no training image")
            if not passes[unit.task]:
                raise ValueError(f"task {unit.task} has no pass: set FX.CYCLE.{unit.task.upper()}")
            for index, plan in enumerate(passes[unit.task]):
                images = plan.length(sizes[unit])
                self.passes.append(ScheduledPass(unit, index, plan, images, -(-images // batch_size)))
        self._ends = list(accumulate(scheduled.steps for scheduled in self.passes))
        self.cycle_length = self._ends[-1]

    def __len__(self) -> int:
        return self.cycle_length * self.cycles

    def at(self, iteration: int) -> Slot:
        """The slot of one iteration; IndexError outside ``0 .. len(self) - 1``."""
        if not 0 <= iteration < len(self):
            raise IndexError(f"iteration {iteration} is outside the schedule of {len(self)} iterations")
        cycle, offset = divmod(iteration, self.cycle_length)
        number, step = self._mixed_step(cycle, offset) if self.order == "mixed" else self._step(offset)
        scheduled = self.passes[number]
        images, steps = scheduled.images, scheduled.steps
        start, stop = (cycle * images + images * end // steps for end in (step, step + 1))
        return Slot(**vars(scheduled), iteration=iteration, cycle=cycle, step=step, start=start, stop=stop)

    def _step(self, offset: int) -> tuple[int, int]:
        """Number of the pass, and the step within it."""
        number = bisect.bisect_right(self._ends, offset)
        return number, offset - (self._ends[number] - self.passes[number].steps)

    def _mixed_step(self, cycle: int, offset: int) -> tuple[int, int]:
        """As :meth:`_step`; each pass keeps the order of its own steps."""
        if self._mixed[0] != cycle:
            numbers = [number for number, scheduled in enumerate(self.passes) for _ in range(scheduled.steps)]
            random.Random(f"{self.seed}/{cycle}").shuffle(numbers)
            seen: Counter[int] = Counter()
            steps = []
            for number in numbers:
                steps.append((number, seen[number]))
                seen[number] += 1
            self._mixed = cycle, steps
        return self._mixed[1][offset]

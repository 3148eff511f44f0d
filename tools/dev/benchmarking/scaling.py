"""Hours of a training on any number of GPUs, in closed form; :mod:`.simulation` computes the same event by event.

A step of a pass takes, on each of *n* GPUs with ``share = ceil(batch / n)`` images,

    seconds = max(compute + exposed exchange, loader)
    compute = max(share / images per second, the host's time to start all kernels)
    loader  = share / (cores per GPU * images per second and core)

and the exchange is a ring all-reduce, ``2 (n - 1) / n * bytes / bandwidth``, in DDP's buckets, each sent as soon as the
backward pass has filled it. Of *k* equal buckets all but one can hide behind the backward pass:

    exposed = max(exchange - (1 - 1 / k) * backward, exchange / k)

Not in it: evaluation, checkpoints, stragglers, the latency of messages.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from fx_d2.schedule import CycleSchedule, Pass, Unit

BUCKET_BYTES = 25 * 2**20  # DDP's default
# Share of a step's computing that is the backward pass: teacher 1, student 1, backward 2 parts of 4 (an assumption).
BACKWARD = 0.5
RESOURCES = ("compute", "host", "exchange", "loader")


@dataclass(frozen=True)
class Machine:
    """
    Attributes:
        gpus: processes, one a GPU. bandwidth: bytes per second that each sends in the ring. cores: for loader workers,
        per GPU. loader_rate: images per second that a core prepares. price: of a GPU hour.
        pass_seconds: from the last step of a pass to the first of the next (new lock, teacher's average).
    """

    gpus: int = 1
    bandwidth: float = 100e9
    cores: float = 8
    loader_rate: float = 88.0
    price: float = 2.5
    pass_seconds: float = 0.1


@dataclass(frozen=True)
class Rate:
    """
    Attributes:
        images: a second on one GPU. host: least seconds of a step, however small. exchanged: bytes of gradients that
        processes exchange.
    """

    images: float
    host: float = 0.0
    exchanged: float = 0.0

    @property
    def buckets(self) -> int:
        return max(1, math.ceil(self.exchanged / BUCKET_BYTES))


# By task and what a pass trains ("head" or "path").
Rates = Mapping[tuple[str, str], Rate]


@dataclass(frozen=True)
class StepTime:
    """Seconds of one step by resource; ``compute`` is the GPU's own work, ``host`` what waits for kernels beyond it,
    ``exchange`` what is not hidden, ``loader`` the wait for images beyond all these."""

    compute: float
    host: float
    exchange: float
    loader: float

    @property
    def total(self) -> float:
        return self.compute + self.host + self.exchange + self.loader


@dataclass(frozen=True)
class PassTime:
    """One pass of a cycle: images, steps and seconds by resource; ``idle`` is the share of image slots that are empty
    because a batch does not divide by the GPUs."""

    unit: Unit
    plan: Pass
    images: int
    steps: int
    seconds: StepTime
    idle: float


def check_batches(schedule: CycleSchedule, gpus: int) -> None:
    """
    Raises:
        ValueError: a step has fewer images than there are GPUs, which training refuses, too.
    """
    small = [s for s in schedule.passes if s.images // s.steps < gpus]
    if small:
        worst = min(small, key=lambda s: s.images // s.steps)
        raise ValueError(
            f"{gpus} GPUs: {len(small)} of {len(schedule.passes)} passes have fewer images a step, {worst.unit} "
            f"only {worst.images // worst.steps}: raise SOLVER.IMS_PER_BATCH, or take at most that many GPUs"
        )


def exchange_seconds(rate: Rate, machine: Machine) -> float:
    """A ring all-reduce of the gradients that nothing hides."""
    return 2 * (machine.gpus - 1) / machine.gpus * rate.exchanged / machine.bandwidth


def step_time(batch: int, rate: Rate, machine: Machine) -> StepTime:
    """A step of ``batch`` images over all GPUs."""
    share = math.ceil(batch / machine.gpus)
    compute = share / rate.images
    busy = max(compute, rate.host)
    sent = exchange_seconds(rate, machine)
    exposed = max(sent - (1 - 1 / rate.buckets) * BACKWARD * busy, sent / rate.buckets)
    loader = share / (machine.cores * machine.loader_rate)
    return StepTime(compute, busy - compute, exposed, max(0.0, loader - busy - exposed))


def pass_times(schedule: CycleSchedule, rates: Rates, machine: Machine) -> list[PassTime]:
    """The passes of one cycle.

    Raises:
        ValueError: a kind of pass has no rate, or a step has fewer images than there are GPUs.
    """
    check_batches(schedule, machine.gpus)
    times = []
    for scheduled in schedule.passes:
        rate = rate_of(rates, scheduled.unit, scheduled.plan)
        # A pass of 49 images in 3 steps has one of 17 and two of 16.
        small, larger = divmod(scheduled.images, scheduled.steps)
        counts = {small + 1: larger, small: scheduled.steps - larger}
        parts = {batch: step_time(batch, rate, machine) for batch in counts}
        seconds = StepTime(
            *(sum(counts[batch] * getattr(parts[batch], name) for batch in counts) for name in RESOURCES)
        )
        slots = sum(counts[batch] * machine.gpus * math.ceil(batch / machine.gpus) for batch in counts)
        idle = 1 - scheduled.images / slots
        times.append(PassTime(scheduled.unit, scheduled.plan, scheduled.images, scheduled.steps, seconds, idle))
    return times


def cycle_seconds(times: list[PassTime], machine: Machine) -> float:
    """Seconds of one cycle."""
    return sum(time.seconds.total + machine.pass_seconds for time in times)


def rate_of(rates: Rates, unit: Unit, plan: Pass) -> Rate:
    """
    Raises:
        ValueError: this kind of pass was not measured.
    """
    key = unit.task, plan.train
    if key not in rates:
        known = ", ".join(f"{task} {name_of(train)}" for task, train in rates)
        raise ValueError(
            f"no rate for {unit.task} {name_of(plan.train)} (needed by {unit}); there are rates of {known}"
        )
    return rates[key]


def name_of(train: str) -> str:
    """``head`` is what Locked passes train."""
    return "locked" if train == "head" else "released"

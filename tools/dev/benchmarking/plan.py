"""Tables of hours, price and bottleneck of a training on several numbers of GPUs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fx_d2.config import cycle_passes, cycle_units
from fx_d2.schedule import CycleSchedule

from .published_sizes import published_sizes
from .scaling import RESOURCES, Machine, PassTime, Rates, cycle_seconds, name_of, pass_times
from .simulation import simulate

PUBLISHED_CYCLES = 150
_HOUR = 3600.0


def published_schedule(cfg, batch: int) -> CycleSchedule:
    """The cycle of a configuration over the published sizes of its datasets.

    Raises:
        ValueError: a unit is of no built-in dataset, or has no training image.
    """
    units = cycle_units(cfg)
    sizes = {unit: published_sizes(unit).train for unit in units}
    return CycleSchedule(units, cycle_passes(cfg), sizes, batch, cfg.FX.CYCLE.COUNT)


def run_rows(cfg, rates: Rates, machine: Machine, gpus: Sequence[int], per_gpu: int = 0) -> list[dict]:
    """A row for each number of GPUs; one whose batches training refuses says so.

    ``per_gpu``: images of a step on each GPU; 0: ``SOLVER.IMS_PER_BATCH`` over all of them.
    """
    whole = cfg.SOLVER.IMS_PER_BATCH
    alone = _cycle(cfg, rates, replace(machine, gpus=1), per_gpu or whole)[1]
    rows = []
    for count in gpus:
        batch = count * per_gpu or whole
        row = {"GPUs": count, "batch": batch}
        try:
            times, seconds = _cycle(cfg, rates, replace(machine, gpus=count), batch)
        except ValueError as error:
            rows.append(row | {"time goes to": f"refused: {error}"})
            continue
        row["hours a cycle"] = seconds / _HOUR
        walked = simulate(published_schedule(cfg, batch), rates, replace(machine, gpus=count))
        row["walked step by step"] = walked / _HOUR
        for cycles in sorted({PUBLISHED_CYCLES, cfg.FX.CYCLE.COUNT}):
            row[f"hours of {cycles} cycles"] = cycles * seconds / _HOUR
            row[f"price of {cycles}"] = cycles * seconds / _HOUR * count * machine.price
        row |= {"times as fast as one": alone / seconds, "efficiency": alone / seconds / count}
        rows.append(row | {"time goes to": shares(times, machine)})
    return rows


def _cycle(cfg, rates: Rates, machine: Machine, batch: int) -> tuple[list[PassTime], float]:
    times = pass_times(published_schedule(cfg, batch), rates, machine)
    return times, cycle_seconds(times, machine)


def shares(times: Sequence[PassTime], machine: Machine) -> str:
    """Where the time goes, most first, what is below one percent left out: ``compute 80 %, exchange 20 %``."""
    sums = {name: sum(getattr(time.seconds, name) for time in times) for name in RESOURCES}
    sums["change of pass"] = len(times) * machine.pass_seconds
    total = sum(sums.values())
    ordered = sorted(sums.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {100 * value / total:.0f} %" for name, value in ordered if value >= 0.01 * total)


def kind_rows(cfg, rates: Rates, machine: Machine, batch: int) -> list[dict]:
    """A row for each kind of pass: what of the cycle it is, images a second over all GPUs, the cores that the loader
    needs for them, empty slots of uneven batches, and where the time goes."""
    times, seconds = _cycle(cfg, rates, machine, batch)
    kinds: dict[str, list[PassTime]] = {}
    for time in times:
        kinds.setdefault(f"{time.unit.task} {name_of(time.plan.train)}", []).append(time)
    rows = []
    for kind, found in kinds.items():
        own, images = cycle_seconds(found, machine), sum(time.images for time in found)
        busy = own - sum(time.seconds.loader for time in found)
        rows.append(
            {
                "kind": kind,
                "images a cycle": images,
                "share of the cycle": own / seconds,
                "images/s": images / own,
                "cores a GPU needs": images / busy / machine.gpus / machine.loader_rate,
                "empty slots": 1 - images / sum(time.images / (1 - time.idle) for time in found),
                "time goes to": shares(found, machine),
            }
        )
    return rows

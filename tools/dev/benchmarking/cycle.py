"""A cycle of the published order, read by the real loader for an accelerator that is acted by waiting."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import cv2

from fx_d2.config import cycle_passes, cycle_units
from fx_d2.data.loader import CycleBatchSampler, TrainingImages, pool_options
from fx_d2.data.mapper import UnitMapper
from fx_d2.data.pool import BatchLoader
from fx_d2.engine.build import prepare
from fx_d2.schedule import CycleSchedule

from .loading import cached, children_seconds, mapping_work, records_of
from .options import Options
from .published_sizes import published_sizes

# Images of a published cycle for one of the simulated one, and the least number of batches of a unit's Released pass.
SHORTENED, LEAST = 500, 4


@dataclass
class Waits:
    """Seconds that the accelerator waited for each batch.

    Attributes:
        first: until the first batch: the processes start. changes: batches that begin a unit. others: all the rest.
        where: unit of the longest one but the first.
        seconds, images: of the whole, without the first wait and with the first batch's step.
    """

    first: float
    changes: list[float]
    others: list[float]
    where: str
    seconds: float
    images: int


def simulated_schedule(cfg) -> CycleSchedule:
    """One cycle with every unit of the configuration, its passes and its share of the images."""
    batch = cfg.SOLVER.IMS_PER_BATCH
    sizes = {unit: max(LEAST * batch, published_sizes(unit).train // SHORTENED) for unit in cycle_units(cfg)}
    return CycleSchedule(cycle_units(cfg), cycle_passes(cfg), sizes, batch, 1)


def fetched_ahead(loader: BatchLoader) -> Iterator[list[dict]]:
    """The batches, each taken from the processes by a thread while the one before is used: what PyTorch's pinning
    thread does where there is a GPU."""
    stream = iter(loader)
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, stream, None)
        while (batch := coming.result()) is not None:
            coming = thread.submit(next, stream, None)
            yield batch


def consume(stream: Iterator[list[dict]], rate: float) -> Waits:
    """Takes all batches, each of which keeps the accelerator busy for its images over ``rate`` (images a second)."""
    start = begin = time.perf_counter()
    unit, images, longest = None, 0, (0.0, "")
    waits: dict[str, list[float]] = {"first": [], "changes": [], "others": []}
    for batch in stream:
        kind = "first" if unit is None else "others" if batch[0]["unit"] == unit else "changes"
        waited = time.perf_counter() - begin
        waits[kind].append(waited)
        longest = max(longest, (waited, batch[0]["unit"])) if unit else longest
        unit, images = batch[0]["unit"], images + len(batch)
        time.sleep(len(batch) / rate)
        begin = time.perf_counter()
    seconds = time.perf_counter() - start - waits["first"][0]
    return Waits(waits["first"][0], waits["changes"], waits["others"], longest[1], seconds, images)


def cycle_rows(cfg, options: Options) -> list[dict]:
    """A row for each round: what the accelerator waits for ``DATALOADER.NUM_WORKERS`` processes."""
    prepare(cfg)
    cv2.setNumThreads(0)
    schedule = simulated_schedule(cfg)
    with tempfile.TemporaryDirectory() as name:
        own = cached(cfg, Path(name))
        records = {unit: records_of(unit, Path(name)) for unit in schedule.units}
        mappers = {unit: UnitMapper(own, unit, train=True) for unit in schedule.units}
        for unit in schedule.units:
            mapping_work(mappers[unit], records[unit])()  # the cache is filled, as in every cycle but the first
        images = TrainingImages(records, mappers, 0)
        return [_row(images, schedule, cfg, options) for _ in range(options.repeats)]


def _row(images: TrainingImages, schedule: CycleSchedule, cfg, options: Options) -> dict:
    before = children_seconds()
    loader = BatchLoader(images, CycleBatchSampler(schedule, 0, 0, 1), *pool_options(cfg))
    waits = consume(fetched_ahead(loader), options.device_rate)
    return {
        "case": f"{cfg.DATALOADER.NUM_WORKERS} workers, {cfg.DATALOADER.PREFETCH} batches ahead",
        "accelerator, images/s": options.device_rate,
        "delivered, images/s": waits.images / waits.seconds,
        "waited, share": (sum(waits.changes) + sum(waits.others)) / waits.seconds,
        "longest wait at a change, s": max(waits.changes),
        "median wait at a change, s": median(waits.changes),
        "longest other wait, s": max(waits.others),
        "the longest in": waits.where,
        "start, s": waits.first,
        "images": waits.images,
        "worker ms an image": 1000 * (children_seconds() - before) / waits.images,
    }

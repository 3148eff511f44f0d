"""Batches of one unit each, in cycle order.

A training batch is a pure function of the seed and the iteration, whatever the number of workers and of training
processes and wherever the run was resumed.
"""

from __future__ import annotations

import hashlib
import zlib
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate, islice
from typing import Any

import numpy as np
from detectron2.data import DatasetCatalog
from detectron2.data.common import DatasetFromList
from detectron2.data.samplers import InferenceSampler
from detectron2.utils import comm
from torch.utils.data import BatchSampler, Dataset, Sampler

from ..config import split_name
from ..schedule import CycleSchedule, Unit
from .errors import nearest
from .mapper import UnitMapper
from .pool import BatchLoader

# (unit, pass_index, position in the endless stream of that pass); see schedule.Slot.
Key = tuple[Unit, int, int]
UnitBatches = tuple[Unit, Iterator[list[dict[str, Any]]]]
_ORDER, _VIEW = 0, 1


def _generator(seed: int, unit: Unit, pass_index: int, number: int, purpose: int) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(str(unit).encode()), pass_index, number, purpose])


# A batch may straddle two epochs; units follow one another, so a few orders are enough.
@lru_cache(maxsize=4)
def epoch_order(seed: int, unit: Unit, pass_index: int, epoch: int, size: int) -> np.ndarray:
    return _generator(seed, unit, pass_index, epoch, _ORDER).permutation(size)


class TrainingImages(Dataset):
    """The training images of all units, addressed by :data:`Key`."""

    def __init__(self, records: Mapping[Unit, list[dict]], mappers: Mapping[Unit, UnitMapper], seed: int) -> None:
        self.mappers = dict(mappers)
        self.seed = seed
        self.sizes = {unit: len(entries) for unit, entries in records.items()}
        self.offsets = dict(zip(self.sizes, accumulate(self.sizes.values(), initial=0), strict=False))
        # Serialised: worker processes share one copy instead of each growing its own.
        self.records = DatasetFromList([entry for entries in records.values() for entry in entries], copy=False)

    def __getitem__(self, key: Key) -> dict[str, Any]:
        unit, pass_index, position = key
        size = self.sizes[unit]
        index = int(epoch_order(self.seed, unit, pass_index, position // size, size)[position % size])
        record = self.records[self.offsets[unit] + index]
        return self.mappers[unit](record, _generator(self.seed, unit, pass_index, position, _VIEW))


def check_shares(schedule: CycleSchedule, processes: int) -> None:
    """Raises ValueError if a batch has fewer images than there are processes."""
    for scheduled in schedule.passes:
        smallest = scheduled.images // scheduled.steps
        if smallest < processes:
            raise ValueError(
                f"{scheduled.unit}, pass {scheduled.pass_index + 1}: a batch has {smallest} image(s) for {processes} "
                "processes; reduce the number of processes (--num-gpus), or enlarge the pass or the batch "
                f"(FX.CYCLE.{scheduled.unit.task.upper()}, SOLVER.IMS_PER_BATCH)"
            )


class CycleBatchSampler(Sampler[list[Key]]):
    """The keys of each batch from one iteration to the schedule's end; rank r of w takes every w-th from the r-th."""

    def __init__(self, schedule: CycleSchedule, start_iter: int, rank: int, world_size: int) -> None:
        check_shares(schedule, world_size)
        self.schedule, self.start_iter, self.rank, self.world_size = schedule, start_iter, rank, world_size

    def __len__(self) -> int:
        return max(0, len(self.schedule) - self.start_iter)

    def __iter__(self) -> Iterator[list[Key]]:
        for iteration in range(self.start_iter, len(self.schedule)):
            slot = self.schedule.at(iteration)
            positions = range(slot.start + self.rank, slot.stop, self.world_size)
            yield [(slot.unit, slot.pass_index, position) for position in positions]


class _TestImages(Dataset):
    """The images of several units in the order of their records, addressed by unit and index."""

    def __init__(self, records: Mapping[Unit, list[dict]], mappers: Mapping[Unit, UnitMapper]) -> None:
        self.records, self.mappers = records, mappers

    def __getitem__(self, key: tuple[Unit, int]) -> dict[str, Any]:
        unit, index = key
        return self.mappers[unit](self.records[unit][index])


def pool_options(cfg) -> tuple[int, int, bool]:
    """The last arguments of a :class:`BatchLoader`: processes, batches ahead, and pinned memory for a GPU."""
    return cfg.DATALOADER.NUM_WORKERS, cfg.DATALOADER.PREFETCH, cfg.MODEL.DEVICE.startswith("cuda")


def _read(unit: Unit, split: str) -> list[dict]:
    """The dataset dicts of a unit's split.

    Raises:
        ValueError: the split is not registered or has no image.
    """
    name = split_name(unit, split)
    if name not in DatasetCatalog.list():
        raise ValueError(f"{unit} has no split {split!r} ({name}); {nearest(name, DatasetCatalog.list())}")
    records = DatasetCatalog.get(name)
    if not records:
        raise ValueError(f"{unit}: split {split!r} has no image; correct its list or its share of the images")
    return records


def training_records(cfg, unit: Unit) -> list[dict]:
    """The training images of a unit: all, or ``DATASETS.FEW_SHOT`` of them.

    Raises:
        ValueError: there is no training split, or too few images in it.
    """
    return few_shot(_read(unit, "train"), cfg.DATASETS.FEW_SHOT, max(cfg.SEED, 0))


def few_shot(records: list[dict], count: int, seed: int) -> list[dict]:
    """``count`` of the records, in their order; all of them if ``count`` is 0.

    Images are ranked by a hash of seed and ``image_id``: the tasks of a dataset get the same images, and the 3 images
    of one setting are among the 6 of another.
    """
    if not count:
        return records
    if count > len(records):
        unit = records[0].get("unit", "the unit")
        raise ValueError(f"DATASETS.FEW_SHOT asks for {count} training images, {unit} has {len(records)}")
    ids = [record["image_id"] for record in records]
    chosen = set(sorted(ids, key=lambda image_id: hashlib.sha256(f"{seed}/{image_id}".encode()).digest())[:count])
    return [record for record in records if record["image_id"] in chosen]


def unit_sizes(units: Sequence[Unit], split: str = "train") -> dict[Unit, int]:
    """Number of images of each unit; ValueError if a unit has no such split, or no image in it."""
    return {unit: len(_read(unit, split)) for unit in units}


def build_train_loader(cfg, schedule: CycleSchedule, start_iter: int = 0) -> BatchLoader:
    """The batches of this process from ``start_iter`` to the end of the schedule.

    One pool of ``DATALOADER.NUM_WORKERS`` processes serves all units, so a change of unit costs nothing.

    Raises:
        ValueError: a split is missing or empty, an ``INPUT`` key is out of range, or see :func:`check_shares`.
    """
    batches = CycleBatchSampler(schedule, start_iter, comm.get_rank(), comm.get_world_size())
    records = {unit: training_records(cfg, unit) for unit in schedule.units}
    mappers = {unit: UnitMapper(cfg, unit, train=True) for unit in schedule.units}
    images = TrainingImages(records, mappers, max(cfg.SEED, 0))
    return BatchLoader(images, batches, *pool_options(cfg))


def spread(records: list[dict], limit: int) -> list[dict]:
    """At most ``limit`` of the records, evenly spread over them; all if ``limit`` is 0."""
    number = min(limit or len(records), len(records))
    return [records[i * len(records) // number] for i in range(number)]


def build_test_loader(cfg, units: Sequence[Unit], split: str, limit: int = 0) -> Iterator[UnitBatches]:
    """Each unit and the batches of its plain images of a split in order, or of ``limit`` images.

    Each process gets one contiguous part. One pool of workers serves all units: starting a pool takes some tenths of a
    second, and while a unit is scored the images of the next one are read.

    Raises:
        ValueError: the split of a unit is missing or empty.
    """
    records = {unit: spread(_read(unit, split), limit) for unit in units}
    mappers = {unit: UnitMapper(cfg, unit, train=False) for unit in units}
    keys: list[list[tuple[Unit, int]]] = []
    counts = {}
    for unit, entries in records.items():
        batches = list(BatchSampler(InferenceSampler(len(entries)), cfg.FX.EVAL.BATCH, drop_last=False))
        keys += [[(unit, index) for index in indices] for indices in batches]
        counts[unit] = len(batches)
    return _split_by_unit(BatchLoader(_TestImages(records, mappers), keys, *pool_options(cfg)), counts)


def _split_by_unit(loader: BatchLoader, counts: Mapping[Unit, int]) -> Iterator[UnitBatches]:
    stream = iter(loader)
    for unit, count in counts.items():
        batches = islice(stream, count)
        yield unit, batches
        deque(batches, maxlen=0)  # skips what the caller left

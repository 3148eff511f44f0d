"""What reading costs: each unit on one core, one worker process, the stages of mapping, decoding beside the cache."""

from __future__ import annotations

import os
import pickle
import tempfile
import time
from collections.abc import Callable
from multiprocessing import forkserver
from pathlib import Path

import cv2
import numpy as np
import torch

from fx_d2.config import cycle_passes, cycle_units, unit_metadata
from fx_d2.data.caching.reader import ImageReader
from fx_d2.data.mapper import UnitMapper
from fx_d2.data.pool import BatchLoader, PackedBatch
from fx_d2.engine.build import prepare
from fx_d2.phantoms.writing import write_dicom
from fx_d2.schedule import Unit

from .options import Options
from .others import compared
from .published_sizes import published_sizes
from .radiographs import make_records

IMAGES = 6  # of a unit
CPU = torch.device("cpu")
# Accelerators, in training images a second.
RATES = (500, 1000, 2000)


def cached(cfg, folder: Path):
    """The configuration with every image kept in a cache of its own."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.INPUT.CACHE.MODE, cfg.INPUT.CACHE.DIR, cfg.INPUT.CACHE.MAX_GB = "all", str(folder / "cache"), 1e3
    cfg.freeze()
    return cfg


def mapping_work(mapper: UnitMapper, records: list[dict]) -> Callable[[], list[dict]]:
    """Maps the records once; the first call fills the cache."""
    return lambda: [mapper(record, np.random.default_rng(number)) for number, record in enumerate(records)]


def unit_rows(cfg, options: Options) -> list[dict]:
    """Milliseconds an image of each unit on one core, from the cache and decoded, training views and truth; then the
    mean over the images of a cycle of published size, and the cores that accelerators of :data:`RATES` need."""
    prepare(cfg)
    cv2.setNumThreads(0)  # as in a worker
    rows, passes, uncached = [], cycle_passes(cfg), cfg.clone()
    uncached.defrost()
    uncached.INPUT.CACHE.MODE = "off"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for unit in cycle_units(cfg):
            records = records_of(unit, folder)
            cases = {
                "cached": mapping_work(UnitMapper(cached(cfg, folder), unit, train=True), records),
                "decoded": mapping_work(UnitMapper(uncached, unit, train=True), records),
            }
            found = {row["case"]: 1000 * row["seconds"] / IMAGES for row in compared(cases, "cached", options, CPU)}
            images = sum(plan.length(published_sizes(unit).train) for plan in passes[unit.task])
            rows.append({"case": str(unit), **found, "images/s": 1000 / found["cached"], "images a cycle": images})
    return [*rows, *_whole_cycle(rows)]


def _whole_cycle(rows: list[dict]) -> list[dict]:
    images = sum(row["images a cycle"] for row in rows)
    means = {key: sum(row[key] * row["images a cycle"] for row in rows) / images for key in ("cached", "decoded")}
    cores = [{"case": f"cores for {rate} images/s", **{k: rate * v / 1000 for k, v in means.items()}} for rate in RATES]
    return [{"case": "a cycle", **means, "images/s": 1000 / means["cached"], "images a cycle": images}, *cores]


def records_of(unit: Unit, folder: Path, count: int = IMAGES) -> list[dict]:
    """Made-up images of a registered unit."""
    return make_records(unit, len(unit_metadata(unit).thing_classes), folder, count)


def children_seconds() -> float:
    """Processor seconds of the loader processes that have ended: those that their server waited for (see proc(5))."""
    server = forkserver._forkserver._forkserver_pid
    if server is None:
        return 0.0
    fields = Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")  # cutime, cstime


class _Mapped(torch.utils.data.Dataset):
    def __init__(self, mapper: UnitMapper, records: list[dict]) -> None:
        self.mapper, self.records = mapper, records

    def __getitem__(self, number: int) -> dict:
        return self.mapper(self.records[number % len(self.records)], np.random.default_rng(number))


def worker_rows(cfg, options: Options, batches: int = 40) -> list[dict]:
    """Images a second through one worker process from the cache, and what they cost it; both teacher and student
    views, batches of the published size. Starting the process is a part of its time, not of the rate."""
    prepare(cfg)
    rows, size = [], cfg.SOLVER.IMS_PER_BATCH
    with tempfile.TemporaryDirectory() as name:
        own = cached(cfg, Path(name))
        for unit in _of_each_task(cfg):
            for train in (True, False):
                records = records_of(unit, Path(name))
                dataset = _Mapped(UnitMapper(own, unit, train=train), records)
                keys = [list(range(i * size, (i + 1) * size)) for i in range(batches)]
                list(BatchLoader(dataset, keys[:1], 0))  # fills the cache
                rows.append({"case": f"{unit} {'training' if train else 'test'}", **_one_worker(dataset, keys)})
    return rows


def _one_worker(dataset: torch.utils.data.Dataset, keys: list[list[int]]) -> dict:
    before = children_seconds()
    stream = iter(BatchLoader(dataset, keys, 1))
    images, start = len(next(stream)), time.perf_counter()
    later = sum(len(batch) for batch in stream)
    wall = time.perf_counter() - start
    del stream  # ends the process, whose time is known from then on
    return {"images/s": later / wall, "worker ms": 1000 * (children_seconds() - before) / (images + later)}


def stage_rows(cfg, options: Options) -> list[dict]:
    """Milliseconds an image of the stages of training's mapping, each alone; ``truth`` is what is left of the whole."""
    prepare(cfg)
    cv2.setNumThreads(0)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for unit in _of_each_task(cfg):
            mapper = UnitMapper(cached(cfg, Path(name)), unit, train=True)
            records = records_of(unit, Path(name))
            times = compared(_stages(mapper, records), "all", options, CPU)
            row = {"unit": str(unit), **{found["case"]: 1000 * found["seconds"] / IMAGES for found in times}}
            row["truth"] = row["all"] - row["read"] - row["view"] - row["light"]
            rows.append(row)
    return rows


def _stages(mapper: UnitMapper, records: list[dict]) -> dict[str, Callable[[], object]]:
    pictures = [mapper.read(record["file_name"]) for record in records]
    rng = np.random.default_rng(0)
    plain = [mapper.geometry.draw(rng, *picture.pixels.shape) for picture in pictures]
    views = [transform.apply_image(picture.pixels) for transform, picture in zip(plain, pictures, strict=True)]
    whole = mapping_work(mapper, records)

    def pack() -> bytes:
        """Stacking is timed, sending is not: the tensors go through shared memory."""
        return pickle.dumps(PackedBatch.pack(whole()).entries)

    return {
        "read": lambda: [mapper.read(record["file_name"]) for record in records],
        "view": lambda: [
            mapper.geometry.draw(rng, *picture.pixels.shape).apply_image(picture.pixels) for picture in pictures
        ],
        "light": lambda: [cv2.LUT(view, mapper.photometry.draw(rng)) for view in views for _ in range(2)],
        "all": whole,
        "all and packed": pack,
    }


def _of_each_task(cfg) -> list[Unit]:
    """The last unit of each task: SIIM-ACR in the published cycle."""
    return list({unit.task: unit for unit in cycle_units(cfg)}.values())


def data_rows(cfg, options: Options, count: int = 4, side: int = 2500) -> list[dict]:
    """Reading of JPEG 2000 DICOM radiographs: decoded each time, and from the cache (both from the system's memory)."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder, smooth = Path(name), np.add.outer(np.arange(side), np.arange(side)) * (3000 / (2 * side))
        files = [folder / f"{i}.dcm" for i in range(count)]
        for file in files:
            noisy = np.clip(smooth + 8 * rng.standard_normal((side, side)), 0, 4095).astype(np.uint16)
            write_dicom(file, noisy, 12, "jpeg2000")
        cache, plain = (
            ImageReader(cfg.INPUT.READ_SIDE, "auto", folder / "cache", 10**12),
            ImageReader(cfg.INPUT.READ_SIDE),
        )
        cases = {
            "cached": lambda: [cache(file) for file in files],
            "decoded each time": lambda: [plain(file) for file in files],
        }
        rows = compared(cases, "cached", options, CPU)
    for row in rows:
        row["images/s"] = count / row["seconds"]
    return rows

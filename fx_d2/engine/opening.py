"""What the console shows when a run begins: data, plan, device, where the files go."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from detectron2.data import DatasetCatalog
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger
from tabulate import tabulate

from ..config import cycle_units, split_name, unit_metadata
from ..data.errors import count
from ..schedule import CycleSchedule, Unit
from .build import training_sizes

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def detectron2_in_the_file(folder: str) -> Iterator[None]:
    """Detectron2's account of environment and configuration goes into ``log.txt``; warnings to the console, too."""
    options = {"distributed_rank": comm.get_rank()}  # its own call then finds these loggers made
    loggers = [setup_logger(folder, name="fvcore", **options), setup_logger(folder, **options)]
    consoles = [
        handler
        for one in loggers
        for handler in one.handlers
        if getattr(handler, "stream", None) in (sys.stdout, sys.__stdout__)
    ]
    compiler = logging.getLogger("torch.utils.cpp_extension")  # warns that no GPU is there, which we say ourselves
    levels = [(one, one.level) for one in (*consoles, compiler)]
    try:
        for one in consoles:
            one.setLevel(logging.WARNING)
        compiler.setLevel(logging.ERROR)
        yield
    finally:
        for one, level in levels:
            one.setLevel(level)


def announce(cfg, schedule: CycleSchedule | None = None) -> None:
    """Logs the summary, on the main process. ``schedule`` None: an evaluation alone."""
    if comm.is_main_process():
        logger.info("this run\n%s", summary(cfg, schedule))


def summary(cfg, schedule: CycleSchedule | None) -> str:
    """Images of each unit by split as far as they are used, the plan, the device, the output folder."""
    every = cfg.FX.EVAL.CYCLES
    val = cfg.FX.EVAL.VAL_SPLIT if schedule and (every or cfg.FX.EVAL.AFTER_UNITS) else ""
    splits = [split for split in dict.fromkeys((val, cfg.FX.EVAL.SPLIT)) if split]
    sizes = training_sizes(cfg) if schedule else {}
    headers = ["unit", *(["train", "images a cycle"] if schedule else []), *splits]
    rows = []
    for unit in cycle_units(cfg):
        row = [str(unit), *([sizes[unit], _passes(schedule, unit)] if schedule else [])]
        rows.append([*row, *(_count(unit, split) for split in splits)])
    lines = [tabulate(rows, headers), ""]
    if schedule:
        total = f"{count(schedule.cycles, 'cycle')} of {schedule.cycle_length} steps = {len(schedule)} steps"
        scored = f"; {val} is scored after every {count(every, 'cycle')}" if val and every else ""
        lines.append(f"plan    {total}, {count(schedule.batch_size, 'image')} each{scored}")
    folder = Path(cfg.OUTPUT_DIR).resolve()
    lines += [f"device  {_device(cfg)}", f"files   {folder}; log.txt there has the whole configuration"]
    return "\n".join(lines)


def _passes(schedule: CycleSchedule, unit: Unit) -> str:
    own = [scheduled for scheduled in schedule.passes if scheduled.unit == unit]
    return " + ".join(f"{one.images} {'locked' if one.locked else 'released'}" for one in own)


def _count(unit: Unit, split: str) -> int | str:
    return len(DatasetCatalog.get(split_name(unit, split))) if split in unit_metadata(unit).splits else "-"


def _device(cfg) -> str:
    gpu = cfg.MODEL.DEVICE.startswith("cuda")
    name = torch.cuda.get_device_name() if gpu else f"CPU, {count(torch.get_num_threads(), 'thread')}"
    number = f"{comm.get_world_size()} x " if comm.get_world_size() > 1 else ""
    return f"{number}{name}, {cfg.SOLVER.AMP.DTYPE if cfg.SOLVER.AMP.ENABLED else 'float32'}"

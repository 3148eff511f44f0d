"""Peak memory of a process that does only one thing."""

from __future__ import annotations

import multiprocessing
import resource
import sys

import torch

from .published import Published
from .steps import Bench, Kind

GIB = 2**30
STEPS = 2  # the second one finds the optimizer's state


def peak_memory(cfg, kind: Kind, batch_size: int, published: str | None, threads: int = 0) -> float | None:
    """GiB in a fresh process: allocated on the GPU, or resident on the CPU (libraries included); None: does not fit.

    ``published``: the parts of the published step, None for ours.
    """
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure_peak, (cfg, kind, batch_size, published, threads))


def measure_peak(cfg, kind: Kind, batch_size: int, published: str | None, threads: int = 0) -> float | None:
    """The same in this process: on the CPU the largest size that it ever had."""
    bench = Bench(cfg, batch_size, threads)
    batch = bench.batch(kind.unit)
    worker = bench if published is None else Published(bench, published)
    (bench.lock if published is None else worker.begin)(kind)
    try:
        for _ in range(STEPS):
            worker.step(kind, batch)
    except torch.cuda.OutOfMemoryError:
        return None
    if bench.device.type == "cuda":
        return torch.cuda.max_memory_allocated(bench.device) / GIB
    return largest_resident()


def largest_resident() -> float:
    """GiB of this process in memory, at its largest."""
    unit = GIB if sys.platform == "darwin" else 2**20  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit

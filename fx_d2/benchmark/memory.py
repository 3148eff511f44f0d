"""Peak memory of a process that does only one thing."""

from __future__ import annotations

import multiprocessing
import resource
import sys

import torch

from .steps import Bench, Kind

STEPS = 2  # the second one finds the optimizer's state


def peak_memory(cfg, kind: Kind, batch_size: int, reference: bool, threads: int = 0) -> float:
    """GiB in a fresh process: allocated on the GPU, or resident on the CPU (libraries included)."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure_peak, (cfg, kind, batch_size, reference, threads))


def measure_peak(cfg, kind: Kind, batch_size: int, reference: bool, threads: int = 0) -> float:
    """The same in this process: on the CPU the largest size that it ever had."""
    bench = Bench(cfg, batch_size, threads)
    bench.lock(kind, reference)
    batch = bench.batch(kind.unit)
    for _ in range(STEPS):
        (bench.reference_step if reference else bench.step)(kind, batch)
    if bench.device.type == "cuda":
        return torch.cuda.max_memory_allocated(bench.device) / 2**30
    unit = 2**30 if sys.platform == "darwin" else 2**20  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit

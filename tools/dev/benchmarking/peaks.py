"""Measured peaks of all kinds of step in one process, as a run meets them one after the other."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from .memory import GIB, STEPS, largest_resident
from .steps import Bench, kinds


def measured_peaks(cfg, batch_size: int) -> Iterator[dict]:
    """A row for each kind of pass: GiB allocated and reserved on the GPU, None where it does not fit.

    The optimizer's moments of earlier kinds stay, as in a run. On the CPU: the largest resident size so far, libraries
    included; only a larger one than those before says anything of its kind.
    """
    bench = Bench(cfg, batch_size)
    for kind in kinds(cfg):
        bench.lock(kind)
        if bench.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(bench.device)
        try:
            for _ in range(STEPS):
                bench.step(kind, bench.batch(kind.unit))
            found = _peaks(bench.device)
        except torch.cuda.OutOfMemoryError:
            found = {"allocated GiB": None, "reserved GiB": None}
        bench.optimizer.zero_grad(set_to_none=True)
        yield {"kind": str(kind), "batch": batch_size} | found


def _peaks(device: torch.device) -> dict[str, float]:
    if device.type == "cuda":
        allocated, reserved = torch.cuda.max_memory_allocated(device), torch.cuda.max_memory_reserved(device)
        return {"allocated GiB": allocated / GIB, "reserved GiB": reserved / GIB}
    return {"resident GiB so far": largest_resident()}

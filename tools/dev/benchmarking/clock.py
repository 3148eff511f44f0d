"""Interleaved timing: every case once a round, so that other work on the machine disturbs all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median

import torch

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def check_clock(clock: str, device: torch.device) -> None:
    """
    Raises:
        ValueError: the clock is unknown, or the processor's clock is asked for work on a GPU.
    """
    if clock not in CLOCKS:
        raise ValueError(f"--clock must be one of {', '.join(CLOCKS)}, not {clock!r}")
    if clock == "cpu" and device.type != "cpu":
        raise ValueError("--clock cpu counts processor time, which says nothing about a GPU: use --clock wall")


def seconds(work: Callable[[], object], device: torch.device, clock: str = "wall") -> float:
    """One run of ``work``, with all that it started on the device done."""
    synchronise(device)
    start = CLOCKS[clock]()
    work()
    synchronise(device)
    return CLOCKS[clock]() - start


def synchronise(device: torch.device) -> None:
    """Waits for a GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def interleave(
    cases: Mapping[str, Callable[[], object]], repeats: int, device: torch.device, clock: str = "wall", warmup: int = 1
) -> dict[str, list[float]]:
    """Seconds of each case in each of ``repeats`` rounds, after ``warmup`` runs that do not count."""
    for _ in range(warmup):
        for work in cases.values():
            work()
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(repeats):
        for name, work in cases.items():
            times[name].append(seconds(work, device, clock))
    return times


def ratio(slow: list[float], fast: list[float]) -> float:
    """How many times as fast ``fast`` is: the median over the rounds of the two's quotient in the same round."""
    return median(s / f for s, f in zip(slow, fast, strict=True))

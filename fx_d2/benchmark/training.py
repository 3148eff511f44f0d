"""Seconds, memory and share of the attainable rate of every kind of training step."""

from __future__ import annotations

import logging
from statistics import median

import torch
from torch.utils.flop_counter import FlopCounterMode

from .clock import interleave, ratio
from .machine import matrix_product
from .memory import peak_memory
from .options import Options
from .steps import Bench, Kind, kinds

logger = logging.getLogger(__name__)


def count_flops(bench: Bench, kind: Kind, batch: list[dict]) -> float:
    """Floating-point operations of a step: matrix products, convolutions and attention, forward and backward."""
    with FlopCounterMode(display=False) as counter:
        bench.step(kind, batch)
    return float(counter.get_total_flops())


def step_rows(cfg, options: Options) -> list[dict]:
    """A row for each kind of pass."""
    bench = Bench(cfg, options.batch, options.threads)
    rows = []
    for kind in kinds(cfg):
        if options.wants(kind):
            rows.append(_step_row(bench, kind, options))
            logger.info("%s", rows[-1])  # minutes lie between two rows
    del bench  # the measured processes need the memory
    for row, kind in zip(rows, [kind for kind in kinds(cfg) if options.wants(kind)], strict=True):
        _add_memory(row, cfg, kind, options)
    return rows


def _step_row(bench: Bench, kind: Kind, options: Options) -> dict:
    batch = bench.batch(kind.unit)
    product, product_flops = matrix_product(bench.device, bench.precision.dtype)

    def own() -> None:
        bench.step(kind, batch)

    def published() -> None:
        bench.reference_step(kind, batch)

    def lock(reference: bool) -> None:
        bench.lock(kind, reference)

    lock(False)
    flops = count_flops(bench, kind, batch)
    cases = {"own": own, "product": product}
    if options.reference:
        # The flags are set outside the clock: the trainer sets them when a pass begins.
        cases = {"lock": lambda: lock(False), **cases, "relock": lambda: lock(True), "reference": published}
    times = interleave(cases, options.repeats, bench.device, options.clock)
    attainable = [product_flops / t for t in times["product"]]
    row = {
        "kind": str(kind),
        "seconds": median(times["own"]),
        "images/s": options.batch / median(times["own"]),
        "gflop": flops / 1e9,
        "attainable gflop/s": median(attainable) / 1e9,
        "share": median(flops / t / rate for t, rate in zip(times["own"], attainable, strict=True)),
    }
    if options.reference:
        row |= {"times as fast": ratio(times["reference"], times["own"]), "reference s": median(times["reference"])}
    torch.cuda.empty_cache()
    return row


def _add_memory(row: dict, cfg, kind: Kind, options: Options) -> None:
    if not options.memory:
        return
    row["GiB"] = peak_memory(cfg, kind, options.batch, False, options.threads)
    if options.reference:
        row["reference GiB"] = peak_memory(cfg, kind, options.batch, True, options.threads)
        row["share of its memory"] = row["GiB"] / row["reference GiB"]

"""Seconds, memory and share of the attainable rate of every kind of training step."""

from __future__ import annotations

import logging
from collections.abc import Callable
from statistics import median

import torch
from torch.utils.flop_counter import FlopCounterMode

from fx_d2.engine.compilation import plain_trunks

from .clock import interleave, ratio
from .machine import matrix_product
from .memory import peak_memory
from .options import Options
from .published import Published
from .steps import Bench, Kind, kinds

logger = logging.getLogger(__name__)


def count_flops(bench: Bench, kind: Kind, batch: list[dict]) -> float:
    """Floating-point operations of a step: matrix products, convolutions and attention, forward and backward."""
    with plain_trunks((bench.student, bench.teacher.model)), FlopCounterMode(display=False) as counter:
        bench.step(kind, batch)
    return float(counter.get_total_flops())


def step_rows(cfg, options: Options) -> list[dict]:
    """A row for each kind of pass; a step that does not fit into a GPU's memory leaves its cells empty."""
    wanted = [kind for kind in kinds(cfg) if options.wants(kind)]
    bench = Bench(cfg, options.batch, options.threads)
    rows = []
    for kind in wanted:
        try:
            with bench.stream():
                rows.append(_step_row(bench, kind, options))
        except torch.cuda.OutOfMemoryError:
            rows.append({"kind": str(kind), "note": f"a batch of {options.batch} does not fit into the memory"})
            bench.optimizer.zero_grad(set_to_none=True)
            torch.cuda.empty_cache()
        logger.info("%s", rows[-1])  # minutes lie between two rows
    del bench  # the measured processes need the memory
    torch.cuda.empty_cache()
    for row, kind in zip(rows, wanted, strict=True) if options.memory else ():
        row |= _memory(cfg, kind, options)
    return rows


def _step_row(bench: Bench, kind: Kind, options: Options) -> dict:
    batch = bench.batch(kind.unit)
    product, product_flops = matrix_product(bench.device, bench.precision.dtype)
    bench.lock(kind)
    flops = count_flops(bench, kind, batch)
    too_large: set[str] = set()
    cases = {"own": lambda: bench.step(kind, batch), "product": product}
    if bench.graphs is not None:
        cases |= {"own": lambda: bench.played_step(kind, batch), "launched": lambda: bench.step(kind, batch)}
    for parts in options.reference:
        published = Published(bench, parts)
        # The flags are set outside the step's clock: the trainer sets them when a pass begins.
        cases |= {
            f"begin {parts}": lambda p=published: p.begin(kind),
            parts: lambda p=published: _unless_too_large(lambda: p.step(kind, batch), p.parts, too_large),
            f"end {parts}": lambda p=published: (p.end(), bench.lock(kind)),
        }
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
    if bench.graphs is not None:
        row["seconds without CUDA graphs"] = median(times["launched"])
    for parts in options.reference:
        fits = parts not in too_large
        row[f"{parts}: times as fast"] = ratio(times[parts], times["own"]) if fits else None
        row[f"{parts}: seconds"] = median(times[parts]) if fits else None
    return row


def _unless_too_large(step: Callable[[], None], name: str, too_large: set[str]) -> None:
    try:
        if name not in too_large:
            step()
    except torch.cuda.OutOfMemoryError:
        too_large.add(name)
        torch.cuda.empty_cache()
        logger.warning("the published step of %s parts does not fit into the memory", name)


def _memory(cfg, kind: Kind, options: Options) -> dict:
    """Peaks in GiB, None where it does not fit, and our share of the published step's."""
    own, *others = (
        peak_memory(cfg, kind, options.batch, parts, options.threads) for parts in (None, *options.reference)
    )
    found = {"GiB": own}
    for parts, peak in zip(options.reference, others, strict=True):
        found |= {f"{parts}: GiB": peak, f"{parts}: share of its memory": own / peak if own and peak else None}
    return found

"""Counts of a training step: operations, operators, trained numbers, and bytes by batch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from .batches import random_batch
from .live_bytes import LiveBytes, cuda_types
from .steps import Bench, Kind
from .training import count_flops

# Images of the two counted steps. Few images have their peak elsewhere than many (the weights' copies in bfloat16 weigh
# more), so the first step is not of one.
SMALL, LARGE = 2, 6


@dataclass(frozen=True)
class Work:
    """What a step of a kind costs anywhere.

    Attributes:
        gflop: 1e9 floating-point operations an image (products, convolutions, attention), teacher included.
        operators: ATen calls of a step, whatever its batch.
        trained: numbers that the pass trains.
    """

    gflop: float
    operators: int
    trained: int


@dataclass(frozen=True)
class Transient:
    """Bytes that a step adds to weights, gradients and optimizer state, at its peak: ``fixed + per_image * images``."""

    fixed: int
    per_image: int

    def bytes(self, images: int) -> int:
        return self.fixed + self.per_image * images


def count_work(bench: Bench, kind: Kind) -> Work:
    """Counts a step with one image."""
    bench.lock(kind)
    gflop = count_flops(bench, kind, _batch(bench, kind, 1)) / 1e9
    trained = sum(p.numel() for p in bench.student.parameters() if p.requires_grad)
    with LiveBytes() as live:
        bench.step(kind, _batch(bench, kind, 1))
    return Work(gflop, live.operators, trained)


def count_transient(bench: Bench, kind: Kind) -> Transient:
    """Counts the bytes of two steps of unlike size; the precision is that of the configuration.

    Gradients of parameters are freed as soon as they are whole, so that what remains is activations and
    temporaries; the optimizer then has nothing to do.
    """
    bench.lock(kind)
    small, large = (_peak(bench, kind, images) for images in (SMALL, LARGE))
    per_image = -(-(large - small) // (LARGE - SMALL))
    return Transient(max(0, small - SMALL * per_image), per_image)


def _peak(bench: Bench, kind: Kind, images: int) -> int:
    batch = _batch(bench, kind, images)
    networks = bench.student, bench.teacher
    existing = [tensor for network in networks for tensor in (*network.parameters(), *network.buffers())]
    with _freed_gradients(bench), cuda_types(bench.student), cuda_types(bench.teacher), LiveBytes(existing) as live:
        bench.step(kind, batch)
    return live.peak


@contextlib.contextmanager
def _freed_gradients(bench: Bench) -> Iterator[None]:
    trained = [p for p in bench.student.parameters() if p.requires_grad]
    handles = [p.register_post_accumulate_grad_hook(_free) for p in trained]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _free(parameter) -> None:
    parameter.grad = None


def _batch(bench: Bench, kind: Kind, images: int) -> list[dict]:
    return random_batch(kind.unit, bench.student.classes[kind.unit], bench.cfg.INPUT.SIZE, images)

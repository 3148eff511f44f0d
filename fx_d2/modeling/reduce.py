"""Sums over all processes and micro-batches, so that neither changes the result, only speed and memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
import torch.distributed as dist
from detectron2.layers.batch_norm import differentiable_all_reduce
from detectron2.utils import comm
from torch import Tensor


class MicroBatches:
    """A batch in parts, each with a forward and backward pass of its own, and the gradient of the whole batch.

    A loss is a function of sums over the batch (Dice: not even a linear one), so a part must know the sums of the
    others before its gradient is right. Each part is first run without a gradient under :meth:`recording`, then with
    one under :meth:`using`, in which :func:`global_sum` completes its sum by the recorded ones. Both passes must draw
    the same noise. The mean of the parts' losses is the loss of the batch, and so with the gradients.
    """

    def __init__(self, parts: int) -> None:
        self.parts = parts
        self._sums: list[list[Tensor]] = [[] for _ in range(parts)]
        self._part = self._call = 0
        self._records = False

    @contextlib.contextmanager
    def recording(self, part: int) -> Iterator[None]:
        self._part, self._records = part, True
        with self._active():
            yield

    @contextlib.contextmanager
    def using(self, part: int) -> Iterator[None]:
        self._part, self._call, self._records = part, 0, False
        with self._active():
            yield

    @contextlib.contextmanager
    def _active(self) -> Iterator[None]:
        global _micro_batches
        _micro_batches = self if self.parts > 1 else None
        try:
            yield
        finally:
            _micro_batches = None

    def complete(self, x: Tensor) -> Tensor:
        """The sum of this part -> the sum of the batch; the gradient is scaled for the mean over the parts."""
        if self._records:
            self._sums[self._part].append(x.detach())
            return x
        others = sum(sums[self._call] for part, sums in enumerate(self._sums) if part != self._part)
        self._call += 1
        return (x + others).detach() + self.parts * (x - x.detach())


_micro_batches: MicroBatches | None = None


def process_sum(x: Tensor) -> Tensor:
    """Sum of ``x`` over the processes, with gradients."""
    return differentiable_all_reduce(x) if comm.get_world_size() > 1 else x


def global_sum(x: Tensor) -> Tensor:
    """Sum of ``x`` over the processes and micro-batches, with gradients.

    With DistributedDataParallel's averaging of gradients, a loss built from global sums (hence equal on all
    processes) gives each parameter the gradient of the loss of the undivided batch.
    """
    x = process_sum(x)
    return x if _micro_batches is None else _micro_batches.complete(x)


def boxes_per_process(count: int, device: torch.device) -> float | Tensor:
    """DETR's normaliser: max(1, boxes of the batch), divided by the number of processes (and micro-batches).

    A loss summed over the local boxes and divided by this is, after the averaging of gradients, the sum
    over all boxes divided by their number.
    """
    shares = comm.get_world_size()
    if shares == 1 and _micro_batches is None:
        return float(max(1, count))
    total = torch.full((), float(count), device=device)  # stays there: the host does not wait for it
    if shares > 1:
        dist.all_reduce(total)
    if _micro_batches is not None:
        total, shares = _micro_batches.complete(total), shares * _micro_batches.parts
    return total.clamp(min=1.0) / shares

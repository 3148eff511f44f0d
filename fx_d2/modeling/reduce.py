"""Sums over all processes and micro-batches, so that neither changes the result, only speed and memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from detectron2.utils import comm
from fvcore.nn.distributed import differentiable_all_reduce
from torch import Tensor


class MicroBatches:
    """A batch in parts, each with its own forward and backward pass, and the gradient of the whole batch.

    A loss is a function of sums over the batch (for Dice not even a linear one), so a part needs the sums of the other
    parts before its gradient is right. First every part runs without a gradient in ``part(i, record=True)``, then with
    one in ``part(i)``, where :func:`global_sum` adds the recorded sums. Both passes must draw the same noise. The mean
    of the parts' losses is the loss of the batch.
    """

    def __init__(self, parts: int) -> None:
        self.parts = parts
        self._sums: list[list[Tensor]] = [[] for _ in range(parts)]
        self._part = self._call = 0
        self._record = False

    @contextlib.contextmanager
    def part(self, index: int, record: bool = False) -> Iterator[None]:
        global _micro_batches
        self._part, self._call, self._record = index, 0, record
        _micro_batches = self if self.parts > 1 else None
        try:
            yield
        finally:
            _micro_batches = None

    def complete(self, x: Tensor) -> Tensor:
        """The sum of this part -> the sum of the batch; the gradient is scaled for the mean over the parts."""
        if self._record:
            self._sums[self._part].append(x.detach())
            return x
        others = sum(sums[self._call] for part, sums in enumerate(self._sums) if part != self._part)
        self._call += 1
        return (x + others).detach() + self.parts * (x - x.detach())


_micro_batches: MicroBatches | None = None


def global_sum(x: Tensor) -> Tensor:
    """Sum of ``x`` over the processes and micro-batches, with gradients.

    With DistributedDataParallel's averaging of gradients, a loss built from global sums (hence equal on all
    processes) gives each parameter the gradient of the loss of the undivided batch.
    """
    x = differentiable_all_reduce(x)
    return x if _micro_batches is None else _micro_batches.complete(x)


def boxes_per_process(count: Tensor) -> Tensor:
    """DETR's normaliser: max(1, boxes of the batch), divided by the number of processes and micro-batches.

    A sum over the local boxes divided by this is, after the averaging of gradients, the mean over all boxes.
    ``count``: a tensor on the device, so that the host does not wait for it.
    """
    shares = comm.get_world_size() * (1 if _micro_batches is None else _micro_batches.parts)
    return global_sum(count.float()).clamp(min=1.0) / shares

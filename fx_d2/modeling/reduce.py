"""Sums over all processes, so that more processes change the speed and not the result."""

from __future__ import annotations

import torch
import torch.distributed as dist
from detectron2.layers.batch_norm import differentiable_all_reduce
from detectron2.utils import comm
from torch import Tensor


def global_sum(x: Tensor) -> Tensor:
    """Sum of ``x`` over the processes, with gradients.

    With DistributedDataParallel's averaging of gradients, a loss built from global sums (hence equal on all
    processes) gives each parameter the gradient of the loss of the undivided batch.
    """
    return differentiable_all_reduce(x) if comm.get_world_size() > 1 else x


def boxes_per_process(count: int, device: torch.device) -> float:
    """DETR's normaliser: max(1, boxes over all processes), divided by the number of processes.

    A loss summed over the local boxes and divided by this is, after the averaging of gradients, the sum
    over all boxes divided by their number.
    """
    world = comm.get_world_size()
    if world == 1:
        return float(max(1, count))
    total = torch.tensor(float(count), device=device)
    dist.all_reduce(total)
    return max(1.0, total.item()) / world

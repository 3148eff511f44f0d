"""Data-parallel training: the same initial weights everywhere, averaged gradients of what a pass trains."""

from __future__ import annotations

import contextlib
import warnings
from typing import Any

import torch
import torch.distributed as dist
from detectron2.engine import create_ddp_model
from detectron2.utils import comm
from torch import nn
from torch.nn.parallel import DistributedDataParallel


@torch.no_grad()
def broadcast_weights(model: nn.Module) -> None:
    """Copies parameters and buffers of the first process to all others."""
    if comm.get_world_size() > 1:
        for tensor in [*model.parameters(), *model.buffers()]:
            dist.broadcast(tensor, 0)


def wrap_distributed(model: nn.Module) -> nn.Module:
    """The network with its gradients averaged over the processes; the bare one where there is one process.

    DistributedDataParallel takes up the parameters that train at this moment and sends nothing of the others, hence a
    new wrapper for every lock: one made before a release would leave each process its own gradients of what is
    released, one made while everything trains sends all gradients in every step. Making it takes 20 ms for Swin-B.
    """
    # A parameter may be idle in a step: the label embedding of the denoising where no image has a box.
    options: dict[str, Any] = {"broadcast_buffers": False, "find_unused_parameters": True, "init_sync": False}
    # The gradients lie in the buffers that are sent: no copies, and their memory once.
    options |= {"gradient_as_bucket_view": True}
    options |= {} if next(model.parameters()).device.type == "cuda" else {"device_ids": None}
    with warnings.catch_warnings():
        # torch 2.14 would have another name for broadcast_buffers, which older ones do not know.
        warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
        return create_ddp_model(model, **options)


def no_sync(model: nn.Module) -> contextlib.AbstractContextManager:
    """For all micro-batches but the last: gradients add up locally, and the last backward pass averages the sum."""
    return model.no_sync() if isinstance(model, DistributedDataParallel) else contextlib.nullcontext()

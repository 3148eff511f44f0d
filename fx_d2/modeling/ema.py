"""The teacher: an exponential moving average of a model. A hook decides when it is updated."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn


class ModelEMA(nn.Module):
    """A copy of a model (parameters and buffers) that follows it, always in evaluation mode and without gradients.

    ``initialised`` is part of the state: a checkpoint without a teacher leaves it False, so that nobody takes a random
    teacher for a trained one.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model: Any = copy.deepcopy(model).eval().requires_grad_(False)
        self.initialised: torch.Tensor
        self.register_buffer("initialised", torch.tensor(False))

    def train(self, mode: bool = True) -> ModelEMA:
        return super().train(False)

    @torch.no_grad()
    def copy_from(self, model: nn.Module) -> None:
        """Starts the average at the model's current state."""
        self.model.load_state_dict(model.state_dict())
        self.initialised.fill_(True)

    @torch.no_grad()
    def update(self, model: nn.Module, momentum: float, buffers: bool = True) -> None:
        """teacher <- momentum * teacher + (1 - momentum) * model, by name; integer tensors are copied.

        ``buffers`` False (a reference switch) leaves all buffers as they are.
        """
        source = model.state_dict()
        excluded = set() if buffers else {name for name, _ in self.model.named_buffers()}
        target = {name: tensor for name, tensor in self.model.state_dict().items() if name not in excluded}
        averaged = [name for name, tensor in target.items() if tensor.is_floating_point()]
        torch._foreach_lerp_([target[name] for name in averaged], [source[name] for name in averaged], 1.0 - momentum)
        for name in target.keys() - averaged:
            target[name].copy_(source[name])

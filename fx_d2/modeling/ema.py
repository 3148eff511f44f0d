"""The teacher: an exponential moving average of a model. Only the maths; when it happens is a hook's business."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn


class ModelEMA(nn.Module):
    """A copy of a model (parameters and buffers) that follows it.

    The copy stays in evaluation mode and never has a gradient. ``initialised`` is part of the state: a checkpoint
    without a teacher leaves it False, so nobody mistakes a random teacher for a trained one.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model: Any = copy.deepcopy(model).eval().requires_grad_(False)
        self.initialised: torch.Tensor
        self.register_buffer("initialised", torch.tensor(False))

    def train(self, mode: bool = True) -> ModelEMA:
        """Stays in evaluation mode, whatever is asked."""
        return super().train(False)

    @torch.no_grad()
    def copy_from(self, model: nn.Module) -> None:
        """Starts the average at the model's present state."""
        self.model.load_state_dict(model.state_dict())
        self.initialised.fill_(True)

    @torch.no_grad()
    def update(self, model: nn.Module, momentum: float, buffers: bool = True) -> None:
        """teacher <- momentum * teacher + (1 - momentum) * model, by name; whole-number tensors are copied.

        ``buffers`` False (a reference switch) leaves all buffers as they are.
        """
        source = model.state_dict()
        excluded = set() if buffers else {name for name, _ in self.model.named_buffers()}
        averaged, values = [], []
        for name, tensor in self.model.state_dict().items():
            if name in excluded:
                continue
            if tensor.is_floating_point():
                averaged.append(tensor)
                values.append(source[name])
            else:
                tensor.copy_(source[name])
        torch._foreach_lerp_(averaged, values, 1.0 - momentum)

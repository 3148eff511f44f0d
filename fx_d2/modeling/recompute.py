"""Activation checkpointing: keep a layer's inputs alone and compute it again in the backward pass."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def run(layer: nn.Module, *inputs, again: bool):
    """``layer(*inputs)``; with ``again`` its activations are not kept where a gradient is wanted."""
    if again and torch.is_grad_enabled():
        return checkpoint(layer, *inputs, use_reentrant=False)
    return layer(*inputs)

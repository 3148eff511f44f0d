"""Activation checkpointing: save only a layer's inputs and run the layer again in the backward pass."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def run_checkpointed(layer: nn.Module, *inputs, enabled: bool):
    """``layer(*inputs)``; with ``enabled`` its activations are not saved for the backward pass."""
    if enabled and torch.is_grad_enabled():
        # No layer draws a random number (which paths drop is an input), and the state of a generator cannot be asked
        # for while a CUDA graph is recorded.
        return checkpoint(layer, *inputs, use_reentrant=False, preserve_rng_state=False)
    return layer(*inputs)

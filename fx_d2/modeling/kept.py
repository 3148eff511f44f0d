"""Tensors that follow from sizes alone, kept from call to call."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps

import torch


def kept(make: Callable) -> Callable:
    """Calls ``make`` once for the same (hashable) arguments, the device among them, and gives the same tensors again.

    Not inside a compiled or traced network, whose graph holds what is made there. What is kept is fit for training,
    even if it was first made in an evaluation.
    """

    @lru_cache(maxsize=64)
    def remembered(*args):
        with torch.inference_mode(False), torch.no_grad():
            return make(*args)

    @wraps(make)
    def call(*args):
        live = torch.compiler.is_compiling() or torch.jit.is_tracing()
        return make(*args) if live else remembered(*args)

    call.forget = remembered.cache_clear
    return call

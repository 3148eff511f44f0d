"""A cache of tensors that depend on sizes only, such as positions and masks."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps

import torch


def cache_tensors(make: Callable) -> Callable:
    """``functools.lru_cache`` for a function of hashable arguments, the device among them, that returns tensors.

    A compiled or traced network calls ``make`` each time, so that the tensors belong to its graph. Tensors that an
    evaluation cached can be used in training.
    """

    @lru_cache(maxsize=64)
    def cached(*args):
        with torch.inference_mode(False), torch.no_grad():
            return make(*args)

    @wraps(make)
    def call(*args):
        graph = torch.compiler.is_compiling() or torch.jit.is_tracing()
        return make(*args) if graph else cached(*args)

    call.cache_clear = cached.cache_clear  # type: ignore[attr-defined]
    return call

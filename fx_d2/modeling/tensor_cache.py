"""A cache of tensors that depend on sizes only, such as positions and masks."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps

import torch


def cache_tensors(make: Callable) -> Callable:
    """Calls ``make`` once for the same (hashable) arguments, the device among them, and returns the same tensors again.

    Inside a compiled or traced network ``make`` is called each time, so that its tensors belong to the graph. Cached
    tensors can be used in training, even if an evaluation made them. ``cache_clear()`` as of functools.lru_cache.
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

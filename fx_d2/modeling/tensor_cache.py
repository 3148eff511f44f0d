"""A cache of tensors that depend on sizes only, such as positions and masks."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import lru_cache, wraps

import torch

_clear: list[Callable[[], None]] = []


def clear_tensor_caches() -> None:
    """Forgets all tensors, such as those of a device or a mode that is left."""
    for clear in _clear:
        clear()


def cache_tensors(make: Callable) -> Callable:
    """``functools.lru_cache`` for a function that returns tensors, the device among its arguments.

    Not cached: arguments that are not hashable, such as the padding of a batch; and tensors of a compiled or traced
    network, which belong to its graph. Tensors that an evaluation cached can be used in training.
    """

    @lru_cache(maxsize=64)
    def cached(*args):
        with torch.inference_mode(False), torch.no_grad():
            return make(*args)

    @wraps(make)
    def call(*args):
        graph = torch.compiler.is_compiling() or torch.jit.is_tracing()
        return cached(*args) if not graph and all(isinstance(arg, Hashable) for arg in args) else make(*args)

    call.cache_clear = cached.cache_clear  # type: ignore[attr-defined]
    _clear.append(cached.cache_clear)
    return call

"""A cache of tensors that depend on sizes only, such as positions and masks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable, Iterator
from functools import lru_cache, wraps

import torch
from torch.utils._pytree import tree_leaves

_clear: list[Callable[[], None]] = []
_holder: list[torch.Tensor] | None = None


@contextlib.contextmanager
def hold_cached_tensors(holder: list[torch.Tensor]) -> Iterator[None]:
    """Puts every tensor that comes from a cache inside the block into ``holder`` as well.

    A recorded CUDA graph reads their memory whether or not the cache still has them.
    """
    global _holder
    outer, _holder = _holder, holder
    try:
        yield
    finally:
        _holder = outer


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
        if graph or not all(isinstance(arg, Hashable) for arg in args):
            return make(*args)
        found = cached(*args)
        if _holder is not None:
            _holder.extend(tree_leaves(found))
        return found

    call.cache_clear = cached.cache_clear  # type: ignore[attr-defined]
    _clear.append(cached.cache_clear)
    return call

"""Where the kernels of :mod:`.block_triton` run, and what stands for them elsewhere."""

from __future__ import annotations

from functools import lru_cache
from types import ModuleType

import torch
from torch import Tensor, nn

from .cast_linear import CastLinear


def on_gpu(x: Tensor) -> bool:
    """Where fewer launches count and kernels of our own run; elsewhere plain PyTorch does."""
    return x.is_cuda


@lru_cache(maxsize=1)
def _load() -> ModuleType | None:
    """None without Triton, which comes with PyTorch for GPUs."""
    try:
        from . import block_triton
    except ImportError:
        return None
    return block_triton


def kernels(x: Tensor) -> ModuleType | None:
    """:mod:`.block_triton` where it is used for ``x``: on a GPU, not in what an exporter or compiler reads."""
    exported = torch.jit.is_tracing() or torch.compiler.is_compiling()
    return _load() if on_gpu(x) and not exported else None


def layer_norm(x: Tensor, norm: nn.LayerNorm, dtype: torch.dtype | None = None) -> Tensor:
    """LayerNorm; by a kernel in ``dtype`` (None: that of products), without a copy in float32 before it."""
    found = kernels(x)
    if found is None:
        return norm(x)
    if dtype is None:
        mixed = torch.is_autocast_enabled(x.device.type)
        dtype = torch.get_autocast_dtype(x.device.type) if mixed else x.dtype
    return found.layer_norm(x, norm, dtype)


def add_and_normalise(x: Tensor, inner: Tensor, linear: CastLinear, norm: nn.LayerNorm) -> Tensor:
    """LayerNorm(x + linear(inner)), as autocast gives it: in float32."""
    found = kernels(x)
    if found is None:
        return norm(x + linear(inner))
    dtype = torch.float32 if torch.is_autocast_enabled(x.device.type) else x.dtype
    return found.add_norm(x, linear.product(inner), linear.bias, None, norm, dtype)[1]

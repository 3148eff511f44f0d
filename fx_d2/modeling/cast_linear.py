"""Linear layers whose weights are cast together: one launch of a GPU for all of a block, not one a tensor."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class CastLinear(nn.Linear):
    """``nn.Linear``; inside :func:`cast_together` it uses the copies."""

    copies: tuple[Tensor, Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, *(self.copies or (self.weight, self.bias)))

    def product(self, x: Tensor) -> Tensor:
        """Without the bias, which a later kernel adds."""
        return F.linear(x, (self.copies or (self.weight,))[0])


class _Cast(torch.autograd.Function):
    @staticmethod
    def forward(ctx, dtype: torch.dtype, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.dtypes = [tensor.dtype for tensor in tensors]
        ctx.set_materialize_grads(False)
        return tuple(_copies(tensors, [dtype] * len(tensors)))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, *gradients: Tensor | None):
        given = [gradient is not None for gradient in gradients]
        dtypes = [dtype for dtype, there in zip(ctx.dtypes, given, strict=True) if there]
        copies = iter(_copies([gradient for gradient in gradients if gradient is not None], dtypes))
        return None, *(next(copies) if there else None for there in given)


def _copies(tensors: Sequence[Tensor], dtypes: Sequence[torch.dtype]) -> list[Tensor]:
    copies = [torch.empty_like(x, dtype=dtype) for x, dtype in zip(tensors, dtypes, strict=True)]
    if copies:
        torch._foreach_copy_(copies, list(tensors))
    return copies


@contextlib.contextmanager
def cast_together(layers: Sequence[CastLinear], dtype: torch.dtype) -> Iterator[None]:
    """Inside the block the layers compute with copies of their weights in ``dtype``, as autocast would make them."""
    copies = _Cast.apply(dtype, *(tensor for layer in layers for tensor in (layer.weight, layer.bias)))
    for layer, pair in zip(layers, zip(copies[::2], copies[1::2], strict=True), strict=True):
        layer.copies = pair
    try:
        yield
    finally:
        for layer in layers:
            layer.copies = None


def launches_count(device: torch.device) -> bool:
    return device.type == "cuda"


def cast_for_gpu(modules: Iterable[nn.Module], device: torch.device) -> contextlib.AbstractContextManager:
    """:func:`cast_together` of all such layers in ``modules`` where autocast would cast them on a GPU, else nothing."""
    if not launches_count(device) or not torch.is_autocast_enabled(device.type) or torch.compiler.is_compiling():
        return contextlib.nullcontext()
    layers = [layer for module in modules for layer in module.modules() if isinstance(layer, CastLinear)]
    return cast_together(layers, torch.get_autocast_dtype(device.type))

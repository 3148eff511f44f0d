"""Layers whose weights are cast together: one launch of a GPU for all of a block, not one a tensor."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class CastParameters:
    """Of a module that computes with ``copies`` of its :meth:`cast_parameters` inside :func:`cast_together`."""

    copies: tuple[Tensor, ...] | None = None

    def cast_parameters(self) -> tuple[Tensor, ...]:
        raise NotImplementedError


class CastLinear(nn.Linear, CastParameters):
    """``nn.Linear``."""

    def cast_parameters(self) -> tuple[Tensor, ...]:
        return self.weight, self.bias

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, *(self.copies or self.cast_parameters()))

    def product(self, x: Tensor) -> Tensor:
        """Without the bias, which a later kernel adds."""
        return F.linear(x, (self.copies or self.cast_parameters())[0])


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
def cast_together(layers: Sequence[CastParameters], dtype: torch.dtype) -> Iterator[None]:
    """Inside the block the layers compute with copies of their weights in ``dtype``, as autocast would make them."""
    parameters = [layer.cast_parameters() for layer in layers]
    copies = iter(_Cast.apply(dtype, *itertools.chain.from_iterable(parameters)))
    for layer, own in zip(layers, parameters, strict=True):
        layer.copies = tuple(itertools.islice(copies, len(own)))
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
    layers = [layer for module in modules for layer in module.modules() if isinstance(layer, CastParameters)]
    return cast_together(layers, torch.get_autocast_dtype(device.type))

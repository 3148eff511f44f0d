"""Add and norm, bias and GELU on a GPU as operators, by the kernels of :mod:`.block_kernels`."""

from __future__ import annotations

import torch
import triton
from torch import Tensor

from .block_kernels import (
    add_norm_backward_kernel,
    add_norm_kernel,
    bias_gelu_backward_kernel,
    bias_gelu_kernel,
)

_NUMBERS = 2048  # of a tile
_PROGRAMS = 264  # of a backward pass, each with sums of its own: two for each multiprocessor of an H100
FORWARD, BACKWARD = {"num_warps": 4}, {"num_warps": 8}


def tile(width: int) -> dict[str, int]:
    """Whole rows, filled up to a power of two."""
    block = triton.next_power_of_2(width)
    return {"WIDTH": width, "BLOCK": block, "ROWS": max(1, _NUMBERS // block)}


def part(width: int) -> dict[str, int]:
    """At most 128 columns of some rows."""
    block = min(128, triton.next_power_of_2(width))
    return {"WIDTH": width, "BLOCK": block, "ROWS": _NUMBERS // block}


def _programs(rows: int, sizes: dict[str, int], others: int = 1) -> int:
    return max(1, min(triton.cdiv(rows, sizes["ROWS"]), _PROGRAMS // others))


@torch.library.custom_op("fx_d2::add_norm", mutates_args=())
def add_norm_forward(
    x: Tensor,
    branch: Tensor | None,
    bias: Tensor | None,
    factor: Tensor | None,
    weight: Tensor | None,
    shift: Tensor | None,
    eps: float,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """-> total (empty without a branch), normed in ``dtype``, mean, 1 / deviation (empty without a norm)."""
    width = x.shape[-1]
    rows, sizes = x.numel() // width, tile(width)
    total = torch.empty_like(x) if branch is not None else x.new_empty(0)
    normed = x.new_empty(x.shape if weight is not None else 0, dtype=dtype)
    mean, scale = (x.new_empty(rows if weight is not None else 0, dtype=torch.float32) for _ in range(2))
    tensors = [x if given is None else given for given in (branch, bias, factor, weight, shift)]
    flags = {"HAS_BRANCH": branch is not None, "HAS_FACTOR": factor is not None, "HAS_NORM": weight is not None}
    numbers = rows, rows // x.shape[0], eps
    with torch.cuda.device_of(x):
        grid = (triton.cdiv(rows, sizes["ROWS"]),)
        add_norm_kernel[grid](x, *tensors, total, normed, mean, scale, *numbers, **sizes, **flags, **FORWARD)
    return total, normed, mean, scale


@add_norm_forward.register_fake
def _(x, branch, bias, factor, weight, shift, eps, dtype):
    rows = x.numel() // x.shape[-1] if weight is not None else 0
    total = torch.empty_like(x) if branch is not None else x.new_empty(0)
    normed = x.new_empty(x.shape if weight is not None else 0, dtype=dtype)
    return total, normed, *(x.new_empty(rows, dtype=torch.float32) for _ in range(2))


@torch.library.custom_op("fx_d2::add_norm_backward", mutates_args=())
def add_norm_backward(
    grad_total: Tensor | None,
    grad_normed: Tensor | None,
    total: Tensor,
    mean: Tensor,
    scale: Tensor,
    weight: Tensor | None,
    factor: Tensor | None,
    branch_dtype: torch.dtype | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """-> gradients of x (empty without a norm: that of total) and of the branch (empty without one), and (3, C).

    The last are those of the norm's weight and bias and of the branch's bias; what is not asked for is undefined.
    """
    width = total.shape[-1]
    rows, sizes = total.numel() // width, tile(width)
    grad_x = torch.empty_like(total) if grad_normed is not None else total.new_empty(0)
    grad_branch = total.new_empty(total.shape if branch_dtype else 0, dtype=branch_dtype or total.dtype)
    programs = _programs(rows, sizes)
    sums = total.new_empty(programs, 3, width, dtype=torch.float32)
    flags = {
        "HAS_TOTAL": grad_total is not None,
        "HAS_BRANCH": branch_dtype is not None,
        "HAS_FACTOR": factor is not None,
        "HAS_NORM": grad_normed is not None,
    }
    given = [total if x is None else x.contiguous() for x in (grad_total, grad_normed)]
    others = [total if x is None else x for x in (weight, factor)]
    targets = grad_x, grad_branch, sums
    with torch.cuda.device_of(total):
        add_norm_backward_kernel[(programs,)](
            *given, total, mean, scale, *others, *targets, rows, rows // total.shape[0], **sizes, **flags, **BACKWARD
        )
    return grad_x, grad_branch, sums.sum(0)


@add_norm_backward.register_fake
def _(grad_total, grad_normed, total, mean, scale, weight, factor, branch_dtype):
    grad_x = torch.empty_like(total) if grad_normed is not None else total.new_empty(0)
    grad_branch = total.new_empty(total.shape if branch_dtype else 0, dtype=branch_dtype or total.dtype)
    return grad_x, grad_branch, total.new_empty(3, total.shape[-1], dtype=torch.float32)


class _AddNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, branch, bias, factor, weight, shift, eps: float, dtype: torch.dtype):
        x, branch = x.contiguous(), None if branch is None else branch.contiguous()
        total, normed, mean, scale = add_norm_forward(x, branch, bias, factor, weight, shift, eps, dtype)
        ctx.save_for_backward(x if branch is None else total, mean, scale, weight, factor)
        ctx.branch_dtype = None if branch is None else branch.dtype
        ctx.has_norm = weight is not None
        ctx.set_materialize_grads(False)
        return (total if branch is not None else None), (normed if ctx.has_norm else None)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_total, grad_normed):
        total, mean, scale, weight, factor = ctx.saved_tensors
        if ctx.has_norm and grad_normed is None:  # nothing reads the norm
            grad_normed = torch.zeros_like(total)
        arguments = grad_total, grad_normed, total, mean, scale, weight, factor, ctx.branch_dtype
        grad_x, grad_branch, sums = add_norm_backward(*arguments)
        of_weight, of_shift, of_bias = sums.unbind(0)
        return (
            grad_x if ctx.has_norm else grad_total,
            grad_branch if ctx.branch_dtype else None,
            of_bias if ctx.branch_dtype else None,
            None,
            of_weight if ctx.has_norm else None,
            of_shift if ctx.has_norm else None,
            None,
            None,
        )


def add_norm(
    x: Tensor, branch: Tensor, bias: Tensor, factor: Tensor | None, norm: torch.nn.LayerNorm, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """x + (branch + bias) * factor, in the type of ``x``, and its LayerNorm in ``dtype``.

    x and branch (B, ..., C); bias (C,); factor B numbers of any shape, or None; weight and bias of the norm float32.
    """
    return _AddNorm.apply(x, branch, bias, factor, norm.weight, norm.bias, norm.eps, dtype)


def add_branch(x: Tensor, branch: Tensor, bias: Tensor, factor: Tensor | None) -> Tensor:
    """The sum of :func:`add_norm` alone."""
    return _AddNorm.apply(x, branch, bias, factor, None, None, 0.0, x.dtype)[0]


def layer_norm(x: Tensor, norm: torch.nn.LayerNorm, dtype: torch.dtype) -> Tensor:
    """LayerNorm of the last axis, in ``dtype``."""
    return _AddNorm.apply(x, None, None, None, norm.weight, norm.bias, norm.eps, dtype)[1]


@torch.library.custom_op("fx_d2::bias_gelu", mutates_args=())
def bias_gelu_forward(x: Tensor, bias: Tensor) -> Tensor:
    width, out = x.shape[-1], torch.empty_like(x)
    rows, sizes = x.numel() // width, part(width)
    with torch.cuda.device_of(x):
        grid = triton.cdiv(rows, sizes["ROWS"]), triton.cdiv(width, sizes["BLOCK"])
        bias_gelu_kernel[grid](x, bias, out, rows, **sizes, **FORWARD)
    return out


@bias_gelu_forward.register_fake
def _(x, bias):
    return torch.empty_like(x)


@torch.library.custom_op("fx_d2::bias_gelu_backward", mutates_args=())
def bias_gelu_backward(gradient: Tensor, x: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    width, grad_x = x.shape[-1], torch.empty_like(x)
    rows, sizes = x.numel() // width, part(width)
    across = triton.cdiv(width, sizes["BLOCK"])
    programs = _programs(rows, sizes, max(1, across // 4))
    sums = x.new_empty(programs, width, dtype=torch.float32)
    tensors = gradient.contiguous(), x, bias, grad_x, sums
    with torch.cuda.device_of(x):
        bias_gelu_backward_kernel[programs, across](*tensors, rows, **sizes, **BACKWARD)
    return grad_x, sums.sum(0)


@bias_gelu_backward.register_fake
def _(gradient, x, bias):
    return torch.empty_like(x), x.new_empty(x.shape[-1], dtype=torch.float32)


class _BiasGelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, bias):
        x = x.contiguous()
        ctx.save_for_backward(x, bias)
        return bias_gelu_forward(x, bias)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        return bias_gelu_backward(gradient, *ctx.saved_tensors)


def bias_gelu(x: Tensor, bias: Tensor) -> Tensor:
    """GELU(x + bias), exact; x (..., C), bias (C,) float32 -> in the type of ``x``."""
    return _BiasGelu.apply(x, bias)

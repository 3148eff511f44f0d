"""Window attention on a GPU as operators, by the kernels of :mod:`.window_attention_kernels`."""

from __future__ import annotations

import torch
import triton
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from .window_attention_kernels import window_backward_kernel, window_forward_kernel, window_table_kernel

# Programs of a launch: a few for each of a GPU's multiprocessors. Of the backward pass fewer, as each has its own sum.
_PROGRAMS = {"forward": 2048, "backward": 512}
_TABLE_ROWS = 16  # of a program that sums the gradient of the bias


def blocks(d: int, window: int) -> dict[str, int]:
    """Sides of the blocks, powers of two: a product on a GPU has 16 rows and columns at least."""
    keys = max(16, triton.next_power_of_2(window * window))
    return {"BLOCK_D": max(16, triton.next_power_of_2(d)), "BLOCK_Q": keys if keys <= 64 else 16, "BLOCK_K": keys}


def compiler(window: int, dtype: torch.dtype) -> dict[str, int]:
    """Fixed, so that nothing is tried out while a step is captured; as few threads as hold a window in registers."""
    small = window * window <= 64 and dtype != torch.float32
    return {"num_warps": 4 if small else 8, "num_stages": 1}


def _arguments(qkv: Tensor, table: Tensor, window: int, roll: list[int], shift: list[int]) -> tuple[tuple, dict]:
    """Of both kernels, after the tensors."""
    b, h, w, width = qkv.shape
    heads = table.shape[1]
    d = width // 3 // heads
    if h % window or w % window:
        raise ValueError(f"a map of {h} x {w} is no whole number of windows of {window}")
    windows = b * (h // window) * (w // window)
    numbers = windows, h, w, *roll, h - shift[0], w - shift[1], d**-0.5
    precision = "ieee" if qkv.dtype == torch.float32 else "tf32"  # it says nothing about narrower types
    sizes = {"HEADS": heads, "D": d, "WINDOW": window, **blocks(d, window), "PRECISION": precision}
    return numbers, {**sizes, **compiler(window, qkv.dtype)}


@torch.library.custom_op("fx_d2::window_attention", mutates_args=())
def window_attention(qkv: Tensor, table: Tensor, window: int, roll: list[int], shift: list[int]) -> Tensor:
    """Attention inside the windows of a map that was rolled by ``-roll``; the result lies as the map did.

    Args:
        qkv: (B, H, W, 3 * heads * D), H and W multiples of ``window``; float32, bfloat16 or float16.
        table: ((2 * window - 1)^2, heads), the learned bias of each offset.
        roll: rows and columns. shift: size of the regions that a window may not look beyond, at the map's end; 0: none.

    Returns:
        (B, H, W, heads * D), in the type of ``qkv``.
    """
    qkv, table = qkv.contiguous(), table.contiguous()
    numbers, settings = _arguments(qkv, table, window, roll, shift)
    heads = settings["HEADS"]
    out = qkv.new_empty(*qkv.shape[:3], qkv.shape[3] // 3)
    across = triton.cdiv(window * window, settings["BLOCK_Q"])
    programs = max(1, min(numbers[0], _PROGRAMS["forward"] // (heads * across)))
    with torch.cuda.device_of(qkv):
        window_forward_kernel[programs, heads, across](qkv, table, out, *numbers, **settings)
    return out


@window_attention.register_fake
def _(qkv, table, window, roll, shift):
    return qkv.new_empty(*qkv.shape[:3], qkv.shape[3] // 3)


@torch.library.custom_op("fx_d2::window_attention_backward", mutates_args=())
def window_attention_backward(
    gradient: Tensor, qkv: Tensor, table: Tensor, window: int, roll: list[int], shift: list[int]
) -> tuple[Tensor, Tensor]:
    """Gradients of ``qkv`` and ``table`` from that of the result."""
    gradient, qkv, table = gradient.contiguous(), qkv.contiguous(), table.contiguous()
    numbers, settings = _arguments(qkv, table, window, roll, shift)
    heads, n = settings["HEADS"], window * window
    programs = max(1, min(numbers[0], _PROGRAMS["backward"] // heads))
    grad_qkv, grad_table = torch.empty_like(qkv), torch.empty_like(table)
    grad_bias = qkv.new_empty(programs, heads, n, n, dtype=torch.float32)
    with torch.cuda.device_of(qkv):
        window_backward_kernel[programs, heads](qkv, table, gradient, grad_qkv, grad_bias, *numbers, **settings)
        sizes = {"HEADS": heads, "WINDOW": window, "ROWS": _TABLE_ROWS, "BLOCK": triton.next_power_of_2(n)}
        window_table_kernel[triton.cdiv(len(table), _TABLE_ROWS), heads](grad_bias, grad_table, programs, **sizes)
    return grad_qkv, grad_table


@window_attention_backward.register_fake
def _(gradient, qkv, table, window, roll, shift):
    return torch.empty_like(qkv), torch.empty_like(table)


def _save(ctx, inputs, output) -> None:
    ctx.save_for_backward(inputs[0], inputs[1])
    ctx.settings = inputs[2:]


def _differentiate(ctx, gradient: Tensor):
    return *window_attention_backward(gradient, *ctx.saved_tensors, *ctx.settings), None, None, None


window_attention.register_autograd(_differentiate, setup_context=_save)


@register_flop_formula(torch.ops.fx_d2.window_attention)
def _forward_flops(qkv, table, window, *_, out_shape=None, **__) -> int:
    """Two products of N tokens with N tokens for each token's heads."""
    b, h, w, width = qkv
    return 2 * 2 * b * h * w * window**2 * (width // 3)


@register_flop_formula(torch.ops.fx_d2.window_attention_backward)
def _backward_flops(gradient, qkv, table, window, *_, out_shape=None, **__) -> int:
    """Five products."""
    b, h, w, width = qkv
    return 5 * 2 * b * h * w * window**2 * (width // 3)

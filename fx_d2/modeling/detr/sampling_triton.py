"""Multi-scale deformable sampling as two Triton kernels, forward and backward; shapes as in :mod:`.sampling`.

``value`` is read in its own type (float32, bfloat16, float16); all arithmetic is float32. Heads, levels, points and D
are fixed when a kernel is compiled, the sizes of the maps are not.

One program computes a block of queries of one head of one image. A block is 4 warps with 4 numbers per thread: a thread
reads 16 bytes of a float32 row at once, 8 lanes read a row of D = 32, and a sum over D stays within a warp. The points
of a level are unrolled, so that their reads overlap; the levels are a loop. Measured: docs/benchmarks.md.

The gradient of ``value`` is a sum by atomic additions, whose order differs from run to run. Where PyTorch is to use
deterministic algorithms it is a sum of whole numbers instead, which no order changes: each term is rounded to a
multiple of a power of two, chosen so that the largest sum fits into 62 bits; then the error of a term is below 2^-40
of the largest for up to a million terms. Both kernels are operators of PyTorch's, known by shape to fake tensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..tensor_cache import cache_tensors
from .sampling_tokens import LevelShapes

WARPS = 4
_NUMBERS = 4  # a thread
# Fused products round differently from the CPU: at the centre of a cell they could take the cell before it, whose
# gradient differs. The sums fuse explicitly.
COMPILER = {"num_warps": WARPS, "enable_fp_fusion": False}


@triton.jit
def _level(levels, level):
    """Width, height and first token."""
    return tl.load(levels + 3 * level), tl.load(levels + 3 * level + 1), tl.load(levels + 3 * level + 2)


@triton.jit
def _axis_cell(locations, sample, axis: tl.constexpr, size, in_range):
    """On one axis: the cell before a location and the bilinear weight of the cell after it, rounded as on the CPU."""
    location = tl.load(locations + 2 * sample + axis, mask=in_range, other=0.0)
    position = ((2.0 * location - 1.0 + 1.0) * size - 1.0) * 0.5
    before = tl.floor(position)
    return before.to(tl.int32), position - before


@triton.jit
def _corner(left, top, width, height, first, in_range, CORNER: tl.constexpr):
    """Number of the token at one of four corners (0, 1 above; 2, 3 below), and whether it is on the map."""
    x, y = left + CORNER % 2, top + CORNER // 2
    return first + y * width + x, in_range & (x >= 0) & (x < width) & (y >= 0) & (y < height)


@triton.jit(do_not_specialize=["tokens", "queries"])  # they differ from batch to batch
def sample_forward_kernel(
    value,
    locations,
    weights,
    levels,  # int32 (LEVELS, 3): width, height, number of the first token
    out,
    tokens,
    queries,
    HEADS: tl.constexpr,
    LEVELS: tl.constexpr,
    POINTS: tl.constexpr,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_Q: tl.constexpr,
):
    query, column = tl.program_id(0) * BLOCK_Q + tl.arange(0, BLOCK_Q), tl.arange(0, BLOCK_D)[None, :]
    head, image = tl.program_id(1), tl.program_id(2).to(tl.int64)
    in_range = query < queries
    row = (image * queries + query) * HEADS + head
    value += (image * tokens * HEADS + head) * D
    total = tl.zeros([BLOCK_Q, BLOCK_D], tl.float32)
    for level in range(LEVELS):
        width, height, first = _level(levels, level)
        for point in tl.static_range(POINTS):
            sample = (row * LEVELS + level) * POINTS + point
            weight = tl.load(weights + sample, mask=in_range, other=0.0)
            left, right_weight = _axis_cell(locations, sample, 0, width, in_range)
            top, low_weight = _axis_cell(locations, sample, 1, height, in_range)
            for corner in tl.static_range(4):
                weight_x = right_weight if corner % 2 else 1.0 - right_weight
                weight_y = low_weight if corner // 2 else 1.0 - low_weight
                token, inside = _corner(left, top, width, height, first, in_range, corner)
                offset, mask = token[:, None] * (HEADS * D) + column, inside[:, None] & (column < D)
                read = tl.load(value + offset, mask=mask, other=0.0).to(tl.float32)
                total = tl.fma(read, (weight_y * weight_x * weight)[:, None], total)
    tl.store(out + row[:, None] * D + column, total, mask=in_range[:, None] & (column < D))


@triton.jit(do_not_specialize=["tokens", "queries"])  # they differ from batch to batch
def sample_backward_kernel(
    value,
    locations,
    weights,
    levels,
    gradient,
    scale,  # of the terms of grad_value; read if WHOLE
    grad_value,  # float32, or int64 if WHOLE; zero at the start
    grad_locations,
    grad_weights,
    tokens,
    queries,
    HEADS: tl.constexpr,
    LEVELS: tl.constexpr,
    POINTS: tl.constexpr,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_Q: tl.constexpr,
    WHOLE: tl.constexpr,
):
    query, column = tl.program_id(0) * BLOCK_Q + tl.arange(0, BLOCK_Q), tl.arange(0, BLOCK_D)[None, :]
    head, image = tl.program_id(1), tl.program_id(2).to(tl.int64)
    in_range = query < queries
    row = (image * queries + query) * HEADS + head
    value += (image * tokens * HEADS + head) * D
    grad_value += (image * tokens * HEADS + head) * D
    grad_rows = tl.load(gradient + row[:, None] * D + column, mask=in_range[:, None] & (column < D), other=0.0)
    for level in range(LEVELS):
        width, height, first = _level(levels, level)
        for point in tl.static_range(POINTS):
            sample = (row * LEVELS + level) * POINTS + point
            weight = tl.load(weights + sample, mask=in_range, other=0.0)
            left, right_weight = _axis_cell(locations, sample, 0, width, in_range)
            top, low_weight = _axis_cell(locations, sample, 1, height, in_range)
            grad_weight = tl.zeros([BLOCK_Q], tl.float32)
            grad_x = tl.zeros([BLOCK_Q], tl.float32)
            grad_y = tl.zeros([BLOCK_Q], tl.float32)
            for corner in tl.static_range(4):
                weight_x = right_weight if corner % 2 else 1.0 - right_weight
                weight_y = low_weight if corner // 2 else 1.0 - low_weight
                token, inside = _corner(left, top, width, height, first, in_range, corner)
                offset, mask = token[:, None] * (HEADS * D) + column, inside[:, None] & (column < D)
                # Programs that run at the same time add to a token: the order of its sum varies from run to run.
                term = grad_rows * (weight_y * weight_x * weight)[:, None]
                if WHOLE:
                    term = (term * tl.load(scale)).to(tl.int64)
                tl.atomic_add(grad_value + offset, term, mask=mask, sem="relaxed")
                read = tl.load(value + offset, mask=mask, other=0.0).to(tl.float32)
                dot = tl.sum(read * grad_rows, axis=1)
                grad_weight += weight_y * weight_x * dot
                grad_x += weight_y * dot if corner % 2 else -weight_y * dot
                grad_y += weight_x * dot if corner // 2 else -weight_x * dot
            tl.store(grad_weights + sample, grad_weight, mask=in_range)
            tl.store(grad_locations + 2 * sample, grad_x * weight * width, mask=in_range)
            tl.store(grad_locations + 2 * sample + 1, grad_y * weight * height, mask=in_range)


def blocks(d: int) -> dict[str, int]:
    """Sides of a block of queries x D for 4 numbers a thread; D is filled up to a power of two."""
    width = triton.next_power_of_2(d)
    return {"BLOCK_D": width, "BLOCK_Q": max(1, WARPS * 32 * _NUMBERS // width)}


@cache_tensors
def _level_table(shapes: LevelShapes, device: torch.device) -> Tensor:
    """Width, height and first token of each level; cached, since the host would wait for a copy to the GPU."""
    starts = accumulate((h * w for h, w in shapes), initial=0)
    rows = [(w, h, start) for (h, w), start in zip(shapes, starts, strict=False)]
    return torch.tensor(rows, dtype=torch.int32, device=device)


def launch(kernel, inputs: tuple[Tensor, Tensor, Tensor], shapes: Sequence[int], *others: Tensor, **options) -> None:
    """Runs a kernel over all queries, heads and images; all tensors are contiguous. ``shapes``: h, w, h, w, ..."""
    value, locations, weights = inputs
    levels_of = tuple(zip(shapes[::2], shapes[1::2], strict=True))
    b, tokens, heads, d = value.shape
    queries, levels, points = locations.shape[1], locations.shape[3], locations.shape[4]
    if len(levels_of) != levels or sum(h * w for h, w in levels_of) != tokens:
        raise ValueError(f"levels {levels_of} do not fit {tokens} tokens and locations of {levels} levels")
    sizes = {"HEADS": heads, "LEVELS": levels, "POINTS": points, "D": d, **blocks(d), **options}
    table = _level_table(levels_of, value.device)
    grid = triton.cdiv(queries, sizes["BLOCK_Q"]), heads, b
    with torch.cuda.device_of(value):
        kernel[grid](value, locations, weights, table, *others, tokens, queries, **sizes, **COMPILER)


def whole_scale(gradient: Tensor, weights: Tensor, samples: int) -> Tensor:
    """The power of two by which terms become whole numbers: no sum of ``samples`` of them leaves 62 bits.

    A term is at most the largest gradient times the largest weight. NaN where these are not finite: so is the result.
    """
    largest = gradient.abs().amax() * weights.abs().amax()
    exponent = (62 - samples.bit_length() - torch.frexp(largest).exponent).clamp(-126, 126)
    return torch.ldexp(torch.ones_like(largest), exponent).where(largest.isfinite(), float("nan"))


@torch.library.custom_op("fx_d2::sample_forward", mutates_args=())
def sample_forward(value: Tensor, locations: Tensor, weights: Tensor, shapes: Sequence[int]) -> Tensor:
    out = value.new_empty(*locations.shape[:2], value.shape[2] * value.shape[3], dtype=torch.float32)
    launch(sample_forward_kernel, (value, locations, weights), shapes, out)
    return out


@sample_forward.register_fake
def _(value: Tensor, locations: Tensor, weights: Tensor, shapes: Sequence[int]) -> Tensor:
    return value.new_empty(*locations.shape[:2], value.shape[2] * value.shape[3], dtype=torch.float32)


@torch.library.custom_op("fx_d2::sample_backward", mutates_args=())
def sample_backward(
    gradient: Tensor, value: Tensor, locations: Tensor, weights: Tensor, shapes: Sequence[int]
) -> tuple[Tensor, Tensor, Tensor]:
    whole = torch.are_deterministic_algorithms_enabled()
    grad_locations, grad_weights = torch.empty_like(locations), torch.empty_like(weights)
    # A sample adds to a token once at most, and to tokens of its own level alone.
    scale = whole_scale(gradient, weights, locations.shape[1] * locations.shape[4]) if whole else gradient
    grad_value = torch.zeros_like(value, dtype=torch.int64 if whole else torch.float32)
    others = gradient, scale, grad_value, grad_locations, grad_weights
    launch(sample_backward_kernel, (value, locations, weights), shapes, *others, WHOLE=whole)
    if whole:
        grad_value = grad_value.float() / scale
    return grad_value.to(value.dtype), grad_locations, grad_weights


@sample_backward.register_fake
def _(
    gradient: Tensor, value: Tensor, locations: Tensor, weights: Tensor, shapes: Sequence[int]
) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(value), torch.empty_like(locations), torch.empty_like(weights)


class _Sampling(torch.autograd.Function):
    """Saves only its inputs."""

    @staticmethod
    def forward(ctx, value: Tensor, locations: Tensor, weights: Tensor, shapes: LevelShapes) -> Tensor:
        value, locations, weights = value.contiguous(), locations.contiguous(), weights.contiguous()
        ctx.save_for_backward(value, locations, weights)
        ctx.shapes = [side for shape in shapes for side in shape]
        return sample_forward(value, locations, weights, ctx.shapes)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient: Tensor):
        return *sample_backward(gradient.contiguous(), *ctx.saved_tensors, ctx.shapes), None


def sample_triton(value: Tensor, shapes: LevelShapes, locations: Tensor, weights: Tensor) -> Tensor:
    """As :func:`.sampling.ms_deform_attn`; ``value`` and its gradient float32, bfloat16 or float16, result float32."""
    return _Sampling.apply(value, locations.float(), weights.float(), shapes)

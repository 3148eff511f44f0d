"""Multi-scale deformable sampling as two Triton kernels, forward and backward; shapes as in :mod:`.sampling`.

Imported only where it is asked for (``MODEL.BOX.SAMPLING triton``) and compiled by Triton at the first call. ``value``
is read in its own type (float32, bfloat16, float16); all arithmetic is float32.

One program computes a block of queries of one head of one image: a head's D numbers of a token are one row of memory,
and neighbouring queries read tokens that lie close together. A block is 4 warps with 4 numbers a thread: a thread
reads 16 bytes of a float32 row at once, 8 lanes read a row of D = 32, a sum over D stays within a warp, and 1,045
queries, 8 heads and 4 images make 2,112 programs, 16 for each of an H100's 132 multiprocessors. The points of a level
are unrolled, so that 4 reads for each of them are under way at once; the levels are a loop. Compiled for sm_90 the
kernels take 44 and 56 registers a thread (float32, D = 32) and spill none, and backward adds 16 bytes in one atomic
operation (sm_80: 4). All this is reasoned and read from the compiled code: no time was measured on a GPU.

Heads, levels, points and D are fixed when a kernel is compiled, the sizes of the maps are not.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import accumulate

import torch
import triton
import triton.language as tl
from torch import Tensor

from .sampling_tokens import LevelShapes

WARPS = 4
_NUMBERS = 4  # a thread
# A fused product would round otherwise than the CPU does and, where a place is a cell's centre, could take the cell
# before it; the gradients of the two sides differ there. The sums ask for fused products themselves.
COMPILER = {"num_warps": WARPS, "enable_fp_fusion": False}


@triton.jit
def _level(levels, level):
    """Width, height and first token."""
    return tl.load(levels + 3 * level), tl.load(levels + 3 * level + 1), tl.load(levels + 3 * level + 2)


@triton.jit
def _place(locations, sample, axis: tl.constexpr, side, there):
    """On one axis: the cell before a location, and the share of the cell after it.

    Rounded as :func:`.sampling_tokens.axis_cells` rounds it, see ``COMPILER``.
    """
    location = tl.load(locations + 2 * sample + axis, mask=there, other=0.0)
    place = ((2.0 * location - 1.0 + 1.0) * side - 1.0) * 0.5
    before = tl.floor(place)
    return before.to(tl.int32), place - before


@triton.jit
def _corner(left, top, width, height, first, there, CORNER: tl.constexpr):
    """Number of the token at one of four corners (0, 1 above; 2, 3 below), and whether it is on the map."""
    x, y = left + CORNER % 2, top + CORNER // 2
    return first + y * width + x, there & (x >= 0) & (x < width) & (y >= 0) & (y < height)


@triton.jit(do_not_specialize=["tokens", "queries"])  # they differ from batch to batch
def forward_kernel(
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
    there = query < queries
    row = (image * queries + query) * HEADS + head
    value += (image * tokens * HEADS + head) * D
    total = tl.zeros([BLOCK_Q, BLOCK_D], tl.float32)
    for level in range(LEVELS):
        width, height, first = _level(levels, level)
        for point in tl.static_range(POINTS):
            sample = (row * LEVELS + level) * POINTS + point
            weight = tl.load(weights + sample, mask=there, other=0.0)
            left, right_share = _place(locations, sample, 0, width, there)
            top, lower_share = _place(locations, sample, 1, height, there)
            for corner in tl.static_range(4):
                share_x = right_share if corner % 2 else 1.0 - right_share
                share_y = lower_share if corner // 2 else 1.0 - lower_share
                token, inside = _corner(left, top, width, height, first, there, corner)
                spot, mask = token[:, None] * (HEADS * D) + column, inside[:, None] & (column < D)
                read = tl.load(value + spot, mask=mask, other=0.0).to(tl.float32)
                total = tl.fma(read, (share_y * share_x * weight)[:, None], total)
    tl.store(out + row[:, None] * D + column, total, mask=there[:, None] & (column < D))


@triton.jit(do_not_specialize=["tokens", "queries"])  # they differ from batch to batch
def backward_kernel(
    value,
    locations,
    weights,
    levels,
    gradient,
    of_value,  # float32, zero at the start
    of_locations,
    of_weights,
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
    there = query < queries
    row = (image * queries + query) * HEADS + head
    value += (image * tokens * HEADS + head) * D
    of_value += (image * tokens * HEADS + head) * D
    above = tl.load(gradient + row[:, None] * D + column, mask=there[:, None] & (column < D), other=0.0)
    for level in range(LEVELS):
        width, height, first = _level(levels, level)
        for point in tl.static_range(POINTS):
            sample = (row * LEVELS + level) * POINTS + point
            weight = tl.load(weights + sample, mask=there, other=0.0)
            left, right_share = _place(locations, sample, 0, width, there)
            top, lower_share = _place(locations, sample, 1, height, there)
            of_weight = tl.zeros([BLOCK_Q], tl.float32)
            of_x = tl.zeros([BLOCK_Q], tl.float32)
            of_y = tl.zeros([BLOCK_Q], tl.float32)
            for corner in tl.static_range(4):
                share_x = right_share if corner % 2 else 1.0 - right_share
                share_y = lower_share if corner // 2 else 1.0 - lower_share
                token, inside = _corner(left, top, width, height, first, there, corner)
                spot, mask = token[:, None] * (HEADS * D) + column, inside[:, None] & (column < D)
                # Programs that run at the same time add to a token: the order of its sum varies from run to run.
                tl.atomic_add(of_value + spot, above * (share_y * share_x * weight)[:, None], mask=mask, sem="relaxed")
                read = tl.load(value + spot, mask=mask, other=0.0).to(tl.float32)
                dot = tl.sum(read * above, axis=1)
                of_weight += share_y * share_x * dot
                of_x += share_y * dot if corner % 2 else -share_y * dot
                of_y += share_x * dot if corner // 2 else -share_x * dot
            tl.store(of_weights + sample, of_weight, mask=there)
            tl.store(of_locations + 2 * sample, of_x * weight * width, mask=there)
            tl.store(of_locations + 2 * sample + 1, of_y * weight * height, mask=there)


def blocks(d: int) -> dict[str, int]:
    """Sides of a block of queries x D for 4 numbers a thread; D is filled up to a power of two."""
    width = triton.next_power_of_2(d)
    return {"BLOCK_D": width, "BLOCK_Q": max(1, WARPS * 32 * _NUMBERS // width)}


@lru_cache(maxsize=64)
def _level_table(shapes: LevelShapes, device: torch.device) -> Tensor:
    """Width, height and first token of each level; kept, since a copy to the GPU would hold up each call."""
    starts = accumulate((h * w for h, w in shapes), initial=0)
    rows = [(w, h, start) for (h, w), start in zip(shapes, starts, strict=False)]
    return torch.tensor(rows, dtype=torch.int32, device=device)


def launch(kernel, value: Tensor, locations: Tensor, weights: Tensor, shapes: LevelShapes, *others: Tensor) -> None:
    """Runs a kernel over all queries, heads and images; all tensors are contiguous."""
    b, tokens, heads, d = value.shape
    queries, levels, points = locations.shape[1], locations.shape[3], locations.shape[4]
    if len(shapes) != levels or sum(h * w for h, w in shapes) != tokens:
        raise ValueError(f"levels {shapes} do not fit {tokens} tokens and locations of {levels} levels")
    sides = blocks(d)
    sizes = {"HEADS": heads, "LEVELS": levels, "POINTS": points, "D": d, **sides}
    inputs = value, locations, weights, _level_table(tuple(shapes), value.device)
    with torch.cuda.device_of(value):
        kernel[(triton.cdiv(queries, sides["BLOCK_Q"]), heads, b)](
            *inputs, *others, tokens, queries, **sizes, **COMPILER
        )


class _Sampling(torch.autograd.Function):
    """Keeps its inputs alone."""

    @staticmethod
    def forward(ctx, value: Tensor, locations: Tensor, weights: Tensor, shapes: LevelShapes) -> Tensor:
        value, locations, weights = value.contiguous(), locations.contiguous(), weights.contiguous()
        ctx.save_for_backward(value, locations, weights)
        ctx.shapes = shapes
        size = *locations.shape[:2], value.shape[2] * value.shape[3]
        out = torch.empty(size, dtype=torch.float32, device=value.device)
        launch(forward_kernel, value, locations, weights, shapes, out)
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient: Tensor):
        value, locations, weights = ctx.saved_tensors
        of_value = torch.zeros_like(value, dtype=torch.float32)
        of_locations, of_weights = torch.empty_like(locations), torch.empty_like(weights)
        others = gradient.contiguous(), of_value, of_locations, of_weights
        launch(backward_kernel, value, locations, weights, ctx.shapes, *others)
        return of_value.to(value.dtype), of_locations, of_weights, None


def sample_triton(value: Tensor, shapes: LevelShapes, locations: Tensor, weights: Tensor) -> Tensor:
    """As :func:`.sampling.ms_deform_attn`: ``value`` float32, bfloat16 or float16, which its gradient is in, too;
    the result float32."""
    return _Sampling.apply(value, locations.float(), weights.float(), shapes)

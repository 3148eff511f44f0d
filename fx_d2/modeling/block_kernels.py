"""What lies between the products of a Swin block, as Triton kernels that pass over memory once.

Add and norm: a residual branch, its bias and its factor (stochastic depth) are added to the stream, and the sum is
normalised (LayerNorm) in the type that the next product reads. Bias and GELU (exact, by erf): after the first product
of the MLP. Arithmetic is float32, whatever the tensors' types.

Gradients of biases, of LayerNorm's weight and of its bias are sums over all tokens: a program sums over its own, what
launches it over the programs, in one order.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _tile(tile, rows, WIDTH: tl.constexpr, BLOCK: tl.constexpr, ROWS: tl.constexpr):
    """Rows of a tile, columns, places in memory, and which of them exist."""
    row = tile * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, BLOCK)
    offset = row.to(tl.int64)[:, None] * WIDTH + column[None, :]
    return row, column, offset, (row < rows)[:, None] & (column < WIDTH)[None, :]


@triton.jit
def _factors(factor, row, rows, per_sample):
    return tl.load(factor + row // per_sample, mask=row < rows, other=0.0).to(tl.float32)[:, None]


@triton.jit
def add_norm_kernel(
    x,
    branch,
    bias,
    factor,
    weight,
    shift,
    total,
    normed,
    mean,
    scale,
    rows,
    per_sample,
    eps,
    WIDTH: tl.constexpr,
    BLOCK: tl.constexpr,
    ROWS: tl.constexpr,
    HAS_BRANCH: tl.constexpr,
    HAS_FACTOR: tl.constexpr,
    HAS_NORM: tl.constexpr,
):
    """total = x + (branch + bias) * factor; normed = LayerNorm(total), whose mean and 1 / deviation are kept."""
    row, column, offset, inside = _tile(tl.program_id(0), rows, WIDTH, BLOCK, ROWS)
    value = tl.load(x + offset, mask=inside, other=0.0).to(tl.float32)
    if HAS_BRANCH:
        step = tl.load(branch + offset, mask=inside, other=0.0).to(tl.float32)
        step += tl.load(bias + column, mask=column < WIDTH, other=0.0).to(tl.float32)[None, :]
        if HAS_FACTOR:
            step *= _factors(factor, row, rows, per_sample)
        value = (value + step).to(total.dtype.element_ty)
        tl.store(total + offset, value, mask=inside)
        value = value.to(tl.float32)
    if HAS_NORM:
        average = tl.sum(tl.where(inside, value, 0.0), 1) / WIDTH
        centred = tl.where(inside, value - average[:, None], 0.0)
        inverse = 1.0 / tl.sqrt(tl.sum(centred * centred, 1) / WIDTH + eps)
        gain = tl.load(weight + column, mask=column < WIDTH, other=0.0).to(tl.float32)[None, :]
        offset_of_norm = tl.load(shift + column, mask=column < WIDTH, other=0.0).to(tl.float32)[None, :]
        result = centred * inverse[:, None] * gain + offset_of_norm
        tl.store(normed + offset, result.to(normed.dtype.element_ty), mask=inside)
        tl.store(mean + row, average, mask=row < rows)
        tl.store(scale + row, inverse, mask=row < rows)


@triton.jit
def add_norm_backward_kernel(
    grad_total,
    grad_normed,
    total,
    mean,
    scale,
    weight,
    factor,
    grad_x,
    grad_branch,
    sums,
    rows,
    per_sample,
    WIDTH: tl.constexpr,
    BLOCK: tl.constexpr,
    ROWS: tl.constexpr,
    HAS_TOTAL: tl.constexpr,
    HAS_BRANCH: tl.constexpr,
    HAS_FACTOR: tl.constexpr,
    HAS_NORM: tl.constexpr,
):
    """``sums`` (programs, 3, WIDTH): of this program's rows, for the norm's weight and bias and the branch's bias."""
    of_weight = tl.zeros((ROWS, BLOCK), tl.float32)
    of_shift = tl.zeros((ROWS, BLOCK), tl.float32)
    of_bias = tl.zeros((ROWS, BLOCK), tl.float32)
    for tile in range(tl.program_id(0), tl.cdiv(rows, ROWS), tl.num_programs(0)):
        row, column, offset, inside = _tile(tile, rows, WIDTH, BLOCK, ROWS)
        gradient = tl.zeros((ROWS, BLOCK), tl.float32)
        if HAS_NORM:
            value = tl.load(total + offset, mask=inside, other=0.0).to(tl.float32)
            average = tl.load(mean + row, mask=row < rows, other=0.0)[:, None]
            inverse = tl.load(scale + row, mask=row < rows, other=0.0)[:, None]
            normal = tl.where(inside, (value - average) * inverse, 0.0)
            given = tl.load(grad_normed + offset, mask=inside, other=0.0).to(tl.float32)
            of_weight += given * normal
            of_shift += given
            given *= tl.load(weight + column, mask=column < WIDTH, other=0.0).to(tl.float32)[None, :]
            along = tl.sum(given * normal, 1) / WIDTH
            across = tl.sum(given, 1) / WIDTH
            gradient = (given - normal * along[:, None] - across[:, None]) * inverse
        if HAS_TOTAL:
            gradient += tl.load(grad_total + offset, mask=inside, other=0.0).to(tl.float32)
        if HAS_NORM:
            tl.store(grad_x + offset, gradient.to(grad_x.dtype.element_ty), mask=inside)
        if HAS_BRANCH:
            if HAS_FACTOR:
                gradient *= _factors(factor, row, rows, per_sample)
            tl.store(grad_branch + offset, gradient.to(grad_branch.dtype.element_ty), mask=inside)
            of_bias += tl.where(inside, gradient, 0.0)
    columns = tl.arange(0, BLOCK)
    target = sums + tl.program_id(0) * 3 * WIDTH + columns
    if HAS_NORM:
        tl.store(target, tl.sum(of_weight, 0), mask=columns < WIDTH)
        tl.store(target + WIDTH, tl.sum(of_shift, 0), mask=columns < WIDTH)
    if HAS_BRANCH:
        tl.store(target + 2 * WIDTH, tl.sum(of_bias, 0), mask=columns < WIDTH)


@triton.jit
def _part(tile, rows, WIDTH: tl.constexpr, BLOCK: tl.constexpr, ROWS: tl.constexpr):
    """As :func:`_tile`, of the columns of the second axis of programs."""
    row = tile * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    offset = row.to(tl.int64)[:, None] * WIDTH + column[None, :]
    return column, offset, (row < rows)[:, None] & (column < WIDTH)[None, :]


@triton.jit
def bias_gelu_kernel(x, bias, out, rows, WIDTH: tl.constexpr, BLOCK: tl.constexpr, ROWS: tl.constexpr):
    column, offset, inside = _part(tl.program_id(0), rows, WIDTH, BLOCK, ROWS)
    value = tl.load(x + offset, mask=inside, other=0.0).to(tl.float32)
    value += tl.load(bias + column, mask=column < WIDTH, other=0.0).to(tl.float32)[None, :]
    result = 0.5 * value * (1.0 + tl.erf(value * 0.7071067811865476))
    tl.store(out + offset, result.to(out.dtype.element_ty), mask=inside)


@triton.jit
def bias_gelu_backward_kernel(
    gradient, x, bias, grad_x, sums, rows, WIDTH: tl.constexpr, BLOCK: tl.constexpr, ROWS: tl.constexpr
):
    """``sums`` (programs, WIDTH): of this program's rows, for the bias."""
    total = tl.zeros((ROWS, BLOCK), tl.float32)
    for tile in range(tl.program_id(0), tl.cdiv(rows, ROWS), tl.num_programs(0)):
        column, offset, inside = _part(tile, rows, WIDTH, BLOCK, ROWS)
        value = tl.load(x + offset, mask=inside, other=0.0).to(tl.float32)
        value += tl.load(bias + column, mask=column < WIDTH, other=0.0).to(tl.float32)[None, :]
        below = 0.5 * (1.0 + tl.erf(value * 0.7071067811865476))
        density = 0.3989422804014327 * tl.exp(-0.5 * value * value)
        given = tl.load(gradient + offset, mask=inside, other=0.0).to(tl.float32)
        result = given * (below + value * density)
        tl.store(grad_x + offset, result.to(grad_x.dtype.element_ty), mask=inside)
        total += tl.where(inside, result, 0.0)
    columns = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    tl.store(sums + tl.program_id(0) * WIDTH + columns, tl.sum(total, 0), mask=columns < WIDTH)

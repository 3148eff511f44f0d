"""Window attention as two Triton kernels, on the map as the product of q, k and v leaves it.

That product is per token, so it commutes with rolling and cutting: a program finds the rows of its windows by their
positions, wrapped round the map, and writes where the token came from. Nothing is rolled, cut or joined in memory.
Scores, bias and softmax are float32; the backward pass computes the probabilities again, so only inputs are saved.

The gradient of the bias is deterministic: a program sums over its windows, a third kernel over the programs.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _tokens(window, first, height, width, roll_y, roll_x, edge_y, edge_x, WINDOW: tl.constexpr, BLOCK: tl.constexpr):
    """Of tokens ``first`` and after of a window: row on the map of all images, region, and which of them exist."""
    token = first + tl.arange(0, BLOCK)
    across = width // WINDOW
    down = height // WINDOW
    y = (window // across) % down * WINDOW + token // WINDOW
    x = window % across * WINDOW + token % WINDOW
    region = 2 * (y >= edge_y).to(tl.int32) + (x >= edge_x).to(tl.int32)
    image = (window // (across * down)).to(tl.int64)
    row = (image * height + (y + roll_y) % height) * width + (x + roll_x) % width
    return row, region, token < WINDOW * WINDOW


@triton.jit
def _read(
    rows,
    exists,
    head,
    PART: tl.constexpr,
    PARTS: tl.constexpr,
    HEADS: tl.constexpr,
    D: tl.constexpr,
    source,
    BLOCK_D: tl.constexpr,
):
    """(tokens, D) of a head; zero where no token is. ``PART`` of ``PARTS``: q, k or v."""
    column = tl.arange(0, BLOCK_D)[None, :]
    offset = rows[:, None] * (PARTS * HEADS * D) + (PART * HEADS + head) * D + column
    return tl.load(source + offset, mask=exists[:, None] & (column < D), other=0.0)


@triton.jit
def _write(
    values,
    rows,
    exists,
    head,
    PART: tl.constexpr,
    PARTS: tl.constexpr,
    HEADS: tl.constexpr,
    D: tl.constexpr,
    target,
    BLOCK_D: tl.constexpr,
):
    column = tl.arange(0, BLOCK_D)[None, :]
    offset = rows[:, None] * (PARTS * HEADS * D) + (PART * HEADS + head) * D + column
    tl.store(target + offset, values.to(target.dtype.element_ty), mask=exists[:, None] & (column < D))


@triton.jit
def _bias(table, head, first, HEADS: tl.constexpr, WINDOW: tl.constexpr, BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr):
    """Learned bias of a block of queries and all keys; -inf for keys that do not exist."""
    query, key = (first + tl.arange(0, BLOCK_Q))[:, None], tl.arange(0, BLOCK_K)[None, :]
    down = query // WINDOW - key // WINDOW + WINDOW - 1
    right = query % WINDOW - key % WINDOW + WINDOW - 1
    exists = (query < WINDOW * WINDOW) & (key < WINDOW * WINDOW)
    value = tl.load(table + (down * (2 * WINDOW - 1) + right) * HEADS + head, mask=exists, other=0.0).to(tl.float32)
    return tl.where(key < WINDOW * WINDOW, value, float("-inf"))


@triton.jit
def _softmax(q, k, bias, exists, query_region, key_region, scale, PRECISION: tl.constexpr):
    """Weights of all keys for each query; zero for queries that do not exist."""
    scores = tl.dot(q, tl.trans(k), input_precision=PRECISION) * scale + bias
    scores = tl.where(query_region[:, None] == key_region[None, :], scores, float("-inf"))
    weights = tl.exp(scores - tl.max(scores, axis=1)[:, None])
    return tl.where(exists[:, None], weights / tl.sum(weights, axis=1)[:, None], 0.0)


_SIZES = ["windows", "height", "width", "roll_y", "roll_x", "edge_y", "edge_x"]


@triton.jit(do_not_specialize=_SIZES)
def window_forward_kernel(
    qkv,
    table,
    out,
    windows,
    height,
    width,
    roll_y,
    roll_x,
    edge_y,
    edge_x,
    scale,
    HEADS: tl.constexpr,
    D: tl.constexpr,
    WINDOW: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_Q: tl.constexpr,
    BLOCK_K: tl.constexpr,
    PRECISION: tl.constexpr,
):
    head, first = tl.program_id(1), tl.program_id(2) * BLOCK_Q
    bias = _bias(table, head, first, HEADS, WINDOW, BLOCK_Q, BLOCK_K)
    for window in range(tl.program_id(0), windows, tl.num_programs(0)):
        place = height, width, roll_y, roll_x, edge_y, edge_x
        rows, region, exists = _tokens(window, first, *place, WINDOW, BLOCK_Q)
        key_rows, key_region, keys = _tokens(window, 0, *place, WINDOW, BLOCK_K)
        q = _read(rows, exists, head, 0, 3, HEADS, D, qkv, BLOCK_D)
        k = _read(key_rows, keys, head, 1, 3, HEADS, D, qkv, BLOCK_D)
        v = _read(key_rows, keys, head, 2, 3, HEADS, D, qkv, BLOCK_D)
        weights = _softmax(q, k, bias, exists, region, key_region, scale, PRECISION)
        values = tl.dot(weights.to(v.dtype), v, input_precision=PRECISION)
        _write(values, rows, exists, head, 0, 1, HEADS, D, out, BLOCK_D)


@triton.jit(do_not_specialize=_SIZES)
def window_backward_kernel(
    qkv,
    table,
    gradient,
    grad_qkv,
    grad_bias,  # float32 (programs, HEADS, N, N)
    windows,
    height,
    width,
    roll_y,
    roll_x,
    edge_y,
    edge_x,
    scale,
    HEADS: tl.constexpr,
    D: tl.constexpr,
    WINDOW: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_Q: tl.constexpr,
    BLOCK_K: tl.constexpr,
    PRECISION: tl.constexpr,
):
    N: tl.constexpr = WINDOW * WINDOW
    head = tl.program_id(1)
    grad_bias += (tl.program_id(0) * HEADS + head).to(tl.int64) * N * N
    key = tl.arange(0, BLOCK_K)[None, :]
    if BLOCK_Q >= N:  # one block of queries: its bias and the sum of its gradient stay in registers
        bias = _bias(table, head, 0, HEADS, WINDOW, BLOCK_Q, BLOCK_K)
    total = tl.zeros([BLOCK_Q, BLOCK_K], tl.float32)
    for window in range(tl.program_id(0), windows, tl.num_programs(0)):
        place = height, width, roll_y, roll_x, edge_y, edge_x
        key_rows, key_region, keys = _tokens(window, 0, *place, WINDOW, BLOCK_K)
        k = _read(key_rows, keys, head, 1, 3, HEADS, D, qkv, BLOCK_D)
        v = _read(key_rows, keys, head, 2, 3, HEADS, D, qkv, BLOCK_D)
        grad_k = tl.zeros([BLOCK_K, BLOCK_D], tl.float32)
        grad_v = tl.zeros([BLOCK_K, BLOCK_D], tl.float32)
        for first in range(0, N, BLOCK_Q):
            if BLOCK_Q < N:
                bias = _bias(table, head, first, HEADS, WINDOW, BLOCK_Q, BLOCK_K)
            rows, region, exists = _tokens(window, first, *place, WINDOW, BLOCK_Q)
            q = _read(rows, exists, head, 0, 3, HEADS, D, qkv, BLOCK_D)
            grad_out = _read(rows, exists, head, 0, 1, HEADS, D, gradient, BLOCK_D)
            weights = _softmax(q, k, bias, exists, region, key_region, scale, PRECISION)
            grad_v += tl.dot(tl.trans(weights.to(v.dtype)), grad_out, input_precision=PRECISION)
            grad_weights = tl.dot(grad_out, tl.trans(v), input_precision=PRECISION)
            mean = tl.sum(weights * grad_weights, axis=1)
            grad_scores = weights * (grad_weights - mean[:, None])
            if BLOCK_Q >= N:
                total += grad_scores
            else:  # each thread reads what it wrote itself
                query = (first + tl.arange(0, BLOCK_Q))[:, None]
                inside = (query < N) & (key < N)
                began = window > tl.program_id(0)
                before = tl.load(grad_bias + query * N + key, mask=inside & began, other=0.0)
                tl.store(grad_bias + query * N + key, before + grad_scores, mask=inside)
            grad_scores = (grad_scores * scale).to(q.dtype)
            grad_q = tl.dot(grad_scores, k, input_precision=PRECISION)
            _write(grad_q, rows, exists, head, 0, 3, HEADS, D, grad_qkv, BLOCK_D)
            grad_k += tl.dot(tl.trans(grad_scores), q, input_precision=PRECISION)
        _write(grad_k, key_rows, keys, head, 1, 3, HEADS, D, grad_qkv, BLOCK_D)
        _write(grad_v, key_rows, keys, head, 2, 3, HEADS, D, grad_qkv, BLOCK_D)
    if BLOCK_Q >= N:
        query = tl.arange(0, BLOCK_Q)[:, None]
        tl.store(grad_bias + query * N + key, total, mask=(query < N) & (key < N))


@triton.jit(do_not_specialize=["programs"])
def window_table_kernel(
    grad_bias, grad_table, programs, HEADS: tl.constexpr, WINDOW: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr
):
    """Rows of the table's gradient: over programs and over the pairs of tokens with a row's offset it is a sum."""
    N: tl.constexpr = WINDOW * WINDOW
    OFFSETS: tl.constexpr = 2 * WINDOW - 1
    row, head = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.program_id(1)
    query = tl.arange(0, BLOCK)[None, :]
    y = query // WINDOW - (row // OFFSETS - (WINDOW - 1))[:, None]
    x = query % WINDOW - (row % OFFSETS - (WINDOW - 1))[:, None]
    exists = (query < N) & (y >= 0) & (y < WINDOW) & (x >= 0) & (x < WINDOW)
    total = tl.zeros([ROWS, BLOCK], tl.float32)
    for program in range(programs):
        offset = (program * HEADS + head).to(tl.int64) * N * N + query * N + y * WINDOW + x
        total += tl.load(grad_bias + offset, mask=exists, other=0.0)
    tl.store(grad_table + row * HEADS + head, tl.sum(total, axis=1), mask=row < OFFSETS * OFFSETS)

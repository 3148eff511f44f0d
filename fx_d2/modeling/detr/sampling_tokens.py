"""Multi-scale deformable sampling on the CPU, as a sparse matrix times the tokens; shapes as in :mod:`.sampling`.

A row of the matrix is a query of a head; its entries, at the four tokens round each location, are bilinear weight times
attention weight. The gradient of the tokens is the transpose times the gradient of the result, that of an entry the
product of two rows. A token is D adjacent numbers in memory, which the maps of ``grid_sample`` hold far apart.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import torch
import torch.nn.functional as F
from scipy.sparse import csr_array
from torch import Tensor

# Height and width of each level, coarsest last.
LevelShapes = tuple[tuple[int, int], ...]


class Axis(NamedTuple):
    """The cells before and after every location on one axis, each (N, levels * points).

    ``cell``: int32, clamped to the map; ``inside``: 0 where it was clamped, else 1; ``weight``: bilinear, 0 outside.
    """

    cell: tuple[Tensor, Tensor]
    inside: tuple[Tensor, Tensor]
    weight: tuple[Tensor, Tensor]


def axis_cells(locations: Tensor, sizes: Tensor) -> Axis:
    """locations (N, levels * points) in 0..1 of the level, sizes (levels * points) in cells."""
    # Rounded as by grid_sample, whose grid is -1..1: recorded outputs then agree ten times as closely.
    position = ((2.0 * locations - 1.0 + 1.0) * sizes - 1.0) / 2.0
    low = position.floor()
    fraction = position - low
    neighbours = low.int(), low.int() + 1
    first, second = (cell.clamp(min=0).minimum(sizes - 1) for cell in neighbours)
    inside = (first == neighbours[0]).float(), (second == neighbours[1]).float()
    return Axis((first, second), inside, ((1.0 - fraction) * inside[0], fraction * inside[1]))


class Corners(NamedTuple):
    """The four tokens round each location, for N = B * Q * heads.

    ``rows`` int32 (N, 4, levels * points): their rows in value (B * S * heads, D); corner 2 * j + i is cell i on the x
    axis and j on the y axis. ``width`` and ``height`` of the map of each sample: int32 (levels * points).
    """

    rows: Tensor
    x: Axis
    y: Axis
    width: Tensor
    height: Tensor

    @property
    def weights(self) -> Tensor:
        """Bilinear weights, (N, 4, levels * points)."""
        return torch.stack([y * x for y in self.y.weight for x in self.x.weight], dim=1)


def corners(shapes: LevelShapes, locations: Tensor) -> Corners:
    b, queries, heads, _, points, _ = locations.shape
    height, width = torch.tensor(shapes, dtype=torch.int32).repeat_interleave(points, dim=0).T.contiguous()
    areas = torch.tensor([h * w for h, w in shapes])
    starts = (areas.cumsum(0) - areas).repeat_interleave(points).int()
    flat = locations.reshape(-1, len(width), 2)
    x, y = axis_cells(flat[..., 0].contiguous(), width), axis_cells(flat[..., 1].contiguous(), height)
    image = torch.arange(b, dtype=torch.int32) * (sum(h * w for h, w in shapes) * heads)
    first = (image[:, None, None] + torch.arange(heads, dtype=torch.int32)).expand(b, queries, heads).reshape(-1, 1)
    rows = [(cell * width + starts) * heads + first for cell in y.cell]
    columns = [cell * heads for cell in x.cell]
    return Corners(torch.stack([row + column for row in rows for column in columns], dim=1), x, y, width, height)


def sample_tokens(value: Tensor, shapes: LevelShapes, locations: Tensor, weights: Tensor) -> Tensor:
    """Forward pass; autograd's backward pass is slow, see :func:`token_gradients`."""
    b, _, heads, d = value.shape
    around = corners(shapes, locations)
    entries = (around.weights * weights.reshape(around.rows.shape[0], 1, -1)).flatten(1)
    out = F.embedding_bag(around.rows.flatten(1), value.reshape(-1, d), mode="sum", per_sample_weights=entries)
    return out.view(b, -1, heads * d)


def token_gradients(
    gradient: Tensor, value: Tensor, shapes: LevelShapes, locations: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of value, locations and weights, from that of the result (B, Q, heads * D)."""
    d = value.shape[-1]
    tokens, gradient, around = value.reshape(-1, d), gradient.reshape(-1, d), corners(shapes, locations)
    rows, (count, _, samples) = around.rows.flatten(), around.rows.shape
    bilinear, attention = around.weights, weights.reshape(count, samples)
    starts = torch.arange(0, 4 * count * samples + 1, 4 * samples, dtype=torch.int32)
    entries, shape = (bilinear * attention[:, None]).flatten(), (count, len(tokens))
    matrix = csr_array((entries.numpy(), rows.numpy(), starts.numpy()), shape=shape)
    of_value = torch.from_numpy(matrix.T @ gradient.numpy())
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        places = torch.sparse_csr_tensor(starts, rows, torch.zeros_like(entries), shape, check_invariants=False)
    dots = torch.sparse.sampled_addmm(places, gradient, tokens.T, beta=0.0).values().view(count, 4, samples)
    of_weights = (bilinear * dots).sum(1)
    (left, right), (top, low) = around.x.inside, around.y.inside
    (to_left, to_right), (to_top, to_low) = around.x.weight, around.y.weight
    top_left, top_right, low_left, low_right = dots.unbind(1)
    of_x = to_top * (right * top_right - left * top_left) + to_low * (right * low_right - left * low_left)
    of_y = to_left * (low * low_left - top * top_left) + to_right * (low * low_right - top * top_right)
    of_locations = torch.stack([of_x * (attention * around.width), of_y * (attention * around.height)], dim=-1)
    return of_value.view_as(value), of_locations.view_as(locations), of_weights.view_as(weights)

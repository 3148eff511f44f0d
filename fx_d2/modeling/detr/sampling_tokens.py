"""Multi-scale deformable sampling on the CPU, as a sparse matrix times the tokens; shapes as in :mod:`.sampling`.

A row of the matrix is a query of a head; its entries are, at the four tokens round each location, bilinear weight times
attention weight. The result is matrix times tokens, the gradient of the tokens its transpose times the gradient of the
result, and the gradient of an entry the product of two rows. A token is D numbers side by side in memory, which the
maps that ``grid_sample`` reads hold far apart.
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
    """Of every location the cell before and the cell after it on one axis: each (N, levels * points).

    ``cell`` int32, moved onto the map; ``inside`` 1 or 0, whether it had to be; ``share`` bilinear, 0 outside.
    """

    cell: tuple[Tensor, Tensor]
    inside: tuple[Tensor, Tensor]
    share: tuple[Tensor, Tensor]


def axis_cells(locations: Tensor, sides: Tensor) -> Axis:
    """locations (N, levels * points) in 0..1 of the level, sides (levels * points) in cells."""
    # Rounded as grid_sample rounds it, whose grid is -1..1: recorded outputs then agree ten times as closely.
    place = ((2.0 * locations - 1.0 + 1.0) * sides - 1.0) / 2.0
    low = place.floor()
    after = place - low
    neighbours = low.int(), low.int() + 1
    first, second = (cell.clamp(min=0).minimum(sides - 1) for cell in neighbours)
    inside = (first == neighbours[0]).float(), (second == neighbours[1]).float()
    return Axis((first, second), inside, ((1.0 - after) * inside[0], after * inside[1]))


class Corners(NamedTuple):
    """``rows`` int32 (N, 4, levels * points): where in value (B * S * heads, D) the tokens lie; and the two axes.

    N = B * Q * heads; corner 2 * j + i is that of cell i on the x axis and j on the y axis.
    """

    rows: Tensor
    x: Axis
    y: Axis

    @property
    def shares(self) -> Tensor:
        """Bilinear weights, (N, 4, levels * points)."""
        return torch.stack([y * x for y in self.y.share for x in self.x.share], dim=1)


def _sizes(shapes: LevelShapes, locations: Tensor) -> tuple[Tensor, Tensor]:
    """Height and width of the map of each sample, both int32 (levels * points)."""
    sides = torch.tensor(shapes, dtype=torch.int32).repeat_interleave(locations.shape[4], dim=0).T.contiguous()
    return sides[0], sides[1]


def corners(shapes: LevelShapes, locations: Tensor) -> Corners:
    """The four tokens round each location."""
    b, queries, heads, _, points, _ = locations.shape
    height, width = _sizes(shapes, locations)
    areas = torch.tensor([h * w for h, w in shapes])
    starts = (areas.cumsum(0) - areas).repeat_interleave(points).int()
    flat = locations.reshape(-1, len(width), 2)
    x, y = axis_cells(flat[..., 0].contiguous(), width), axis_cells(flat[..., 1].contiguous(), height)
    image = torch.arange(b, dtype=torch.int32) * int(areas.sum() * heads)
    first = (image[:, None, None] + torch.arange(heads, dtype=torch.int32)).expand(b, queries, heads).reshape(-1, 1)
    above = [(cell * width + starts) * heads + first for cell in y.cell]
    beside = [cell * heads for cell in x.cell]
    return Corners(torch.stack([v + h for v in above for h in beside], dim=1), x, y)


def sample_tokens(value: Tensor, shapes: LevelShapes, locations: Tensor, weights: Tensor) -> Tensor:
    """Forward pass; what autograd would make of it is slow, see :func:`token_gradients`."""
    b, _, heads, d = value.shape
    around = corners(shapes, locations)
    entries = around.shares * weights.reshape(around.rows.shape[0], 1, -1)
    out = F.embedding_bag(
        around.rows.flatten(1), value.reshape(-1, d), mode="sum", per_sample_weights=entries.flatten(1)
    )
    return out.view(b, -1, heads * d)


def token_gradients(
    gradient: Tensor, value: Tensor, shapes: LevelShapes, locations: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of value, locations and weights, from that of the result (B, Q, heads * D)."""
    d = value.shape[-1]
    tokens, gradient, around = value.reshape(-1, d), gradient.reshape(-1, d), corners(shapes, locations)
    rows, (count, _, samples) = around.rows.flatten(), around.rows.shape
    shares, attention = around.shares, weights.reshape(count, samples)
    starts = torch.arange(0, 4 * count * samples + 1, 4 * samples, dtype=torch.int32)
    entries = (shares * attention[:, None]).flatten()
    matrix = csr_array((entries.numpy(), rows.numpy(), starts.numpy()), shape=(count, len(tokens)))
    of_value = torch.from_numpy(matrix.T @ gradient.numpy())
    dots = _products(starts, rows, gradient, tokens).view(count, 4, samples)
    of_weights = (shares * dots).sum(1)
    (left, right), (top, low) = around.x.inside, around.y.inside
    (to_left, to_right), (to_top, to_low) = around.x.share, around.y.share
    top_left, top_right, low_left, low_right = dots.unbind(1)
    of_x = to_top * (right * top_right - left * top_left) + to_low * (right * low_right - left * low_left)
    of_y = to_left * (low * low_left - top * top_left) + to_right * (low * low_right - top * top_right)
    height, width = _sizes(shapes, locations)
    of_locations = torch.stack([of_x * (attention * width), of_y * (attention * height)], dim=-1)
    return of_value.view_as(value), of_locations.view_as(locations), of_weights.view_as(weights)


def _products(starts: Tensor, columns: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Products of rows of ``left`` and ``right`` (each a row of D) at the places of a sparse matrix."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        size = len(left), len(right)
        places = torch.sparse_csr_tensor(starts, columns, left.new_zeros(len(columns)), size, check_invariants=False)
    return torch.sparse.sampled_addmm(places, left, right.T, beta=0.0).values()

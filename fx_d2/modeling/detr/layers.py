"""Small parts that encoder, decoder and heads share: positions, the perceptron, the inverse of the sigmoid."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..cast_linear import CastLinear
from ..fused import add_and_normalise
from ..tensor_cache import cache_tensors


class Sizes(NamedTuple):
    """Arguments of encoder and decoder layers; ``num_points``: samples of a head on each level."""

    dim: int
    num_heads: int
    num_levels: int
    num_points: int
    ffn_dim: int


def inverse_sigmoid(x: Tensor, eps: float = 1e-3) -> Tensor:
    """log(x / (1 - x)) with x clamped to [0, 1] and both parts to at least ``eps``."""
    x = x.clamp(0, 1)
    return torch.log(x.clamp(min=eps) / (1 - x).clamp(min=eps))


@cache_tensors
def wave_lengths(channels: int, temperature: float, device: torch.device) -> Tensor:
    """Of :func:`sine_waves`, divided by 2 pi: (channels / 2,)."""
    return temperature ** (2 * torch.arange(channels // 2, dtype=torch.float32, device=device) / channels)


def sine_waves(position: Tensor, channels: int, temperature: float) -> Tensor:
    """Sine and cosine at ``channels / 2`` wavelengths, interleaved: position (...), in radians -> (..., channels)."""
    phase = position[..., None] / wave_lengths(channels, temperature, position.device)
    return torch.stack([phase.sin(), phase.cos()], dim=-1).flatten(-2)


def map_positions(padded: Tensor, dim: int, temperature: float) -> Tensor:
    """Sine encoding of a map (DETR, normalised to 2 pi over the image): row first, then column.

    ``padded``: bool (B, h, w), True where a cell is padding -> (B, h * w, dim).
    """
    axes = []
    for axis in (1, 2):
        steps = (~padded).int().cumsum(axis).float()  # of whole numbers: a sum of others has no fixed order on a GPU
        last = steps.select(axis, -1).unsqueeze(axis)
        axes.append(sine_waves(2 * math.pi * steps / (last + 1e-6), dim // 2, temperature))
    return torch.cat(axes, dim=-1).flatten(1, 2)


@cache_tensors
def level_positions(shape: tuple[int, int], dim: int, temperature: float, device: torch.device) -> Tensor:
    """:func:`map_positions` of a map without padding: (1, h * w, dim)."""
    return map_positions(torch.zeros(1, *shape, dtype=torch.bool, device=device), dim, temperature)


def box_positions(boxes: Tensor, dim: int) -> Tensor:
    """Sine encoding of boxes (..., 4) as cx, cy, w, h in 0..1: (..., 2 * dim) in the order y, x, w, h (DAB-DETR)."""
    cx, cy, w, h = (2 * math.pi * boxes.float()).unbind(-1)
    return sine_waves(torch.stack([cy, cx, w, h], dim=-1), dim // 2, 10000.0).flatten(-2)


class MLP(nn.Module):
    """Linear layers with ReLU between them."""

    def __init__(self, in_dim: int, hidden_dim: int, out_dim: int, num_layers: int) -> None:
        super().__init__()
        dims = [in_dim] + [hidden_dim] * (num_layers - 1) + [out_dim]
        self.layers: Any = nn.ModuleList(CastLinear(a, b) for a, b in zip(dims, dims[1:], strict=False))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        return self.layers[-1](x)


def class_layer(dim: int, num_classes: int) -> nn.Linear:
    """Class logits that start at a foreground probability of 0.01 (focal loss, Lin et al. 2017, section 4.1)."""
    layer = CastLinear(dim, num_classes)
    nn.init.constant_(layer.bias, -math.log((1 - 0.01) / 0.01))
    return layer


def box_layers(dim: int) -> MLP:
    """Box offsets (4) that start at zero: the first prediction is the reference itself."""
    mlp = MLP(dim, dim, 4, 3)
    nn.init.zeros_(mlp.layers[-1].weight)
    nn.init.zeros_(mlp.layers[-1].bias)
    return mlp


class FeedForward(nn.Module):
    """Post-norm feed-forward block: LayerNorm(x + W2 ReLU(W1 x))."""

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.linear1 = CastLinear(dim, hidden_dim)
        self.linear2 = CastLinear(hidden_dim, dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        return add_and_normalise(x, F.relu(self.linear1(x)), self.linear2, self.norm)

"""Multi-scale deformable sampling (Zhu et al., Deformable DETR, ICLR 2021, equation 3) in plain PyTorch.

Shapes, the same everywhere here: ``value`` (B, S, heads, D) with S the tokens of all levels; ``locations``
(B, Q, heads, levels, points, 2) as x, y in 0..1 of the level (outside reads zero); ``weights``
(B, Q, heads, levels, points), summing to 1 over the last two; the result (B, Q, heads * D).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from .sampling_tokens import LevelShapes, sample_tokens, token_gradients


def ms_deform_attn(
    value: Tensor, shapes: LevelShapes, locations: Tensor, weights: Tensor, implementation: str = "auto"
) -> Tensor:
    """Samples every level bilinearly at every location and sums with the weights; always in float32.

    ``implementation``: ``plain`` (PyTorch), ``triton`` (:mod:`.sampling_triton`; ValueError without a GPU or Triton),
    or ``auto``: triton where both are there, else plain.
    """
    if torch.jit.is_tracing() or torch.compiler.is_compiling():  # exporters and compilers know the operators
        return sample_levels(value.float(), shapes, locations.float(), weights.float())
    if implementation == "triton" or (implementation == "auto" and value.device.type == "cuda" and has_triton()):
        return load_triton(value.device)(value, shapes, locations, weights)
    return _Sampling.apply(value.float(), locations.float(), weights.float(), shapes)


@lru_cache(maxsize=1)
def has_triton() -> bool:
    return importlib.util.find_spec("triton") is not None


def load_triton(device: torch.device) -> Callable[..., Tensor]:
    """Imports :func:`.sampling_triton.sample_triton`."""
    if device.type != "cuda":
        raise ValueError(f"MODEL.BOX.SAMPLING triton runs on CUDA, not on {device.type}; set it to plain")
    try:
        from .sampling_triton import sample_triton
    except ImportError as error:
        raise ValueError(f"MODEL.BOX.SAMPLING triton: {error}; install triton, or set it to plain") from error
    return sample_triton


def _levels(value: Tensor, shapes: LevelShapes, locations: Tensor, weights: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """For each level map (B * heads, D, h, w), grid (B * heads, Q, points, 2), weights (B * heads, 1, Q, points)."""
    b, _, heads, d = value.shape
    queries, levels, points = locations.shape[1], locations.shape[3], locations.shape[4]
    maps = value.permute(0, 2, 3, 1).reshape(b * heads, d, -1).split([h * w for h, w in shapes], dim=2)
    grids = (2.0 * locations - 1.0).permute(3, 0, 2, 1, 4, 5).reshape(levels, b * heads, queries, points, 2)
    weights = weights.permute(3, 0, 2, 1, 4).reshape(levels, b * heads, 1, queries, points)
    for level, (h, w), grid, weight in zip(maps, shapes, grids, weights, strict=True):
        yield level.reshape(b * heads, d, h, w), grid, weight


def sample_levels(value: Tensor, shapes: LevelShapes, locations: Tensor, weights: Tensor) -> Tensor:
    """``grid_sample``, level by level."""
    b, _, heads, d = value.shape
    levels = _levels(value, shapes, locations, weights)
    sums = [(F.grid_sample(level, grid, align_corners=False) * weight).sum(-1) for level, grid, weight in levels]
    return torch.stack(sums).sum(0).reshape(b, heads * d, -1).transpose(1, 2)


def level_gradients(
    gradient: Tensor, value: Tensor, shapes: LevelShapes, locations: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """As :func:`.token_gradients`; samples again, one level at a time."""
    b, tokens, heads, d = value.shape
    queries, levels, points = locations.shape[1], locations.shape[3], locations.shape[4]
    gradient = gradient.view(b, queries, heads, d).permute(0, 2, 3, 1).reshape(b * heads, d, queries, 1)
    maps, grids, dots = [], [], []
    for level, grid, weight in _levels(value, shapes, locations, weights):
        sampled = F.grid_sample(level, grid, align_corners=False)
        dots.append(sampled.mul_(gradient).sum(1))
        torch.mul(gradient, weight, out=sampled)
        # bilinear, zeros outside, corners not aligned, both gradients
        of_map, of_grid = torch.ops.aten.grid_sampler_2d_backward(sampled, level, grid, 0, 0, False, (True, True))
        maps.append(of_map.flatten(2))
        grids.append(of_grid)
    of_value = torch.cat(maps, dim=2).view(b, heads, d, tokens).permute(0, 3, 1, 2)
    of_locations = 2.0 * torch.stack(grids).view(levels, b, heads, queries, points, 2).permute(1, 3, 2, 0, 4, 5)
    of_weights = torch.stack(dots).view(levels, b, heads, queries, points).permute(1, 3, 2, 0, 4)
    return of_value, of_locations, of_weights


class _Sampling(torch.autograd.Function):
    """Saves only its inputs: autograd of :func:`sample_levels` saves D numbers for every sample, most of a box step."""

    @staticmethod
    def forward(ctx, value: Tensor, locations: Tensor, weights: Tensor, shapes: LevelShapes) -> Tensor:
        ctx.save_for_backward(value, locations, weights)
        ctx.shapes = shapes
        sample = sample_tokens if value.device.type == "cpu" else sample_levels
        return sample(value, shapes, locations, weights)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient: Tensor):
        value, locations, weights = ctx.saved_tensors
        gradients = token_gradients if value.device.type == "cpu" else level_gradients
        return *gradients(gradient, value, ctx.shapes, locations, weights), None

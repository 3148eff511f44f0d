"""Multi-scale deformable attention (Zhu et al., Deformable DETR, ICLR 2021, equation 3) in plain PyTorch."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .padding import Padding

# Height and width of each level, coarsest last.
LevelShapes = tuple[tuple[int, int], ...]


def ms_deform_attn(value: Tensor, shapes: LevelShapes, locations: Tensor, weights: Tensor) -> Tensor:
    """Samples every level bilinearly at every location and sums with the weights; always in float32.

    Shapes:
        value: (B, S, heads, D) with S the tokens of all levels; locations: (B, Q, heads, levels, points, 2) as x, y in
        0..1 of the level (outside reads zero); weights: (B, Q, heads, levels, points), summing to 1 over the last two.

    Returns:
        (B, Q, heads * D), float32.
    """
    b, _, heads, d = value.shape
    queries, levels, points = locations.shape[1], locations.shape[3], locations.shape[4]
    value, locations = value.float(), locations.float()
    grids = (2.0 * locations - 1.0).permute(3, 0, 2, 1, 4, 5).reshape(levels, b * heads, queries, points, 2)
    maps = value.permute(0, 2, 3, 1).reshape(b * heads, d, -1).split([h * w for h, w in shapes], dim=2)
    sampled = [
        F.grid_sample(level.reshape(b * heads, d, h, w), grid, align_corners=False)  # (B * heads, D, Q, points)
        for level, (h, w), grid in zip(maps, shapes, grids, strict=True)
    ]
    weights = weights.float().transpose(1, 2).reshape(b * heads, 1, queries, levels * points)
    out = (torch.cat(sampled, dim=-1) * weights).sum(-1)  # (B * heads, D, Q)
    return out.reshape(b, heads * d, queries).transpose(1, 2)


class DeformableAttention(nn.Module):
    """Each query reads ``points`` places near its reference on each level, per head."""

    def __init__(self, dim: int, num_heads: int, num_levels: int, num_points: int) -> None:
        super().__init__()
        self.num_heads, self.num_levels, self.num_points = num_heads, num_levels, num_points
        self.sampling_offsets = nn.Linear(dim, num_heads * num_levels * num_points * 2)
        self.attention_weights = nn.Linear(dim, num_heads * num_levels * num_points)
        self.value_proj = nn.Linear(dim, dim)
        self.output_proj = nn.Linear(dim, dim)
        self._init_weights()

    def _init_weights(self) -> None:
        """Offsets start as rays, one direction a head and one radius a point; attention starts uniform."""
        angles = torch.arange(self.num_heads) * (2.0 * math.pi / self.num_heads)
        rays = torch.stack([angles.cos(), angles.sin()], -1)
        rays = rays / rays.abs().max(-1, keepdim=True).values
        radii = torch.arange(1, self.num_points + 1)
        offsets = rays[:, None, None, :] * radii[None, None, :, None]  # (heads, 1, points, 2)
        offsets = offsets.expand(-1, self.num_levels, -1, -1)
        with torch.no_grad():
            self.sampling_offsets.weight.zero_()
            self.sampling_offsets.bias.copy_(offsets.reshape(-1))
            self.attention_weights.weight.zero_()
            self.attention_weights.bias.zero_()
            for layer in (self.value_proj, self.output_proj):
                nn.init.xavier_uniform_(layer.weight)
                layer.bias.zero_()

    def forward(
        self, query: Tensor, reference: Tensor, memory: Tensor, shapes: LevelShapes, padding: Padding | None = None
    ) -> Tensor:
        """query (B, Q, C); reference (B, Q, 2) points or (B, Q, 4) boxes as cx, cy, w, h in 0..1; memory (B, S, C).

        With ``padding`` the reference is a share of each image's own extent, and padded tokens read as zero.
        """
        b, queries, _ = query.shape
        grid = (b, queries, self.num_heads, self.num_levels, self.num_points)
        value = self.value_proj(memory)
        if padding is not None:
            value = value.masked_fill(padding.tokens[..., None], 0.0)
        value = value.view(b, memory.shape[1], self.num_heads, -1)
        offsets = self.sampling_offsets(query).view(*grid, 2).float()
        weights = self.attention_weights(query).float().view(*grid[:3], -1).softmax(-1).view(grid)
        reference = reference.float()[:, :, None, None, None]  # (B, Q, 1, 1, 1, 2 or 4)
        if padding is not None:
            ratios = padding.ratios.repeat(1, 1, reference.shape[-1] // 2)
            reference = reference * ratios[:, None, None, :, None]  # per level
        if reference.shape[-1] == 2:
            sides = torch.tensor([(w, h) for h, w in shapes], dtype=torch.float32, device=query.device)
            locations = reference + offsets / sides[:, None]
        else:
            locations = reference[..., :2] + offsets / self.num_points * reference[..., 2:] * 0.5
        sampled = ms_deform_attn(value, shapes, locations, weights)
        return self.output_proj(sampled.to(query.dtype))

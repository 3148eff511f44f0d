"""Attention: multi-scale deformable (Zhu et al., Deformable DETR, ICLR 2021), and between the queries of an image."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..cast_linear import CastLinear, CastParameters
from ..tensor_cache import cache_tensors
from .padding import Levels
from .sampling import LevelShapes, ms_deform_attn


@cache_tensors
def level_sides(shapes: LevelShapes, device: torch.device) -> Tensor:
    """Width and height of each level in cells: (levels, 2)."""
    return torch.tensor([(w, h) for h, w in shapes], dtype=torch.float32, device=device)


class DeformableAttention(nn.Module):
    """Each head of a query samples ``num_points`` locations near its reference on each level."""

    sampling = "auto"  # implementation of ms_deform_attn

    def __init__(self, dim: int, num_heads: int, num_levels: int, num_points: int) -> None:
        super().__init__()
        self.num_heads, self.num_levels, self.num_points = num_heads, num_levels, num_points
        self.sampling_offsets = CastLinear(dim, num_heads * num_levels * num_points * 2)
        self.attention_weights = CastLinear(dim, num_heads * num_levels * num_points)
        self.value_proj = CastLinear(dim, dim)
        self.output_proj = CastLinear(dim, dim)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Offsets start as rays, one direction per head and one radius per point; attention starts uniform."""
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

    def forward(self, query: Tensor, reference: Tensor, memory: Tensor, levels: Levels) -> Tensor:
        return self.output_proj(self.sample(query, reference, memory, levels))

    def sample(self, query: Tensor, reference: Tensor, memory: Tensor, levels: Levels) -> Tensor:
        """All but the output projection, which a kernel can take together with what follows.

        query (B, Q, C); reference (B, Q, 2) points or (B, Q, 4) boxes as cx, cy, w, h in 0..1; memory (B, S, C).

        With padding the reference is relative to each image's own extent, and padded tokens read as zero.
        """
        shapes, padding = levels
        if torch.is_autocast_enabled(query.device.type):  # once, for both products below
            query = query.to(torch.get_autocast_dtype(query.device.type))
        b, queries, _ = query.shape
        grid = (b, queries, self.num_heads, self.num_levels, self.num_points)
        value = self.value_proj(memory)
        if padding is not None:
            value = value.masked_fill(padding.token_mask[..., None], 0.0)
        value = value.view(b, memory.shape[1], self.num_heads, -1)
        offsets = self.sampling_offsets(query).view(*grid, 2).float()
        weights = self.attention_weights(query).float().view(*grid[:3], -1).softmax(-1).view(grid)
        reference = reference.float()[:, :, None, None, None]  # (B, Q, 1, 1, 1, 2 or 4)
        if padding is not None:
            ratios = padding.valid_ratios.repeat(1, 1, reference.shape[-1] // 2)
            reference = reference * ratios[:, None, None, :, None]  # per level
        if reference.shape[-1] == 2:
            locations = reference + offsets / level_sides(shapes, query.device)[:, None]
        else:
            locations = reference[..., :2] + offsets / self.num_points * reference[..., 2:] * 0.5
        return ms_deform_attn(value, shapes, locations, weights, self.sampling).to(query.dtype)


class QueryAttention(nn.MultiheadAttention, CastParameters):
    """``nn.MultiheadAttention`` (parameters, names, initialisation) without copies and without a mask over all pairs.

    Noised queries come first. The others attend to no noised query, so they need neither the noised keys nor a mask,
    and PyTorch can use its fastest kernels.
    """

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__(dim, num_heads, batch_first=True)

    def cast_parameters(self) -> tuple[Tensor, ...]:
        return self.in_proj_weight, self.in_proj_bias, self.out_proj.weight, self.out_proj.bias

    def forward(self, query: Tensor, content: Tensor, attn_mask: Tensor | None = None) -> Tensor:  # type: ignore[override]
        """query (content and position) and content (B, N + Q, C) -> (B, N + Q, C).

        ``attn_mask``: bool (N, N + Q), True where a noised query (row) may not attend; None without noised queries.
        """
        b, count, c = query.shape
        weights, biases, *out = self.copies or self.cast_parameters()
        weight, bias = weights.split([2 * c, c]), biases.split([2 * c, c])
        pair = F.linear(query, weight[0], bias[0]).view(b, count, 2, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        q, k = pair.unbind(0)
        v = F.linear(content, weight[1], bias[1]).view(b, count, self.num_heads, -1).transpose(1, 2)
        if attn_mask is None:
            mixed = F.scaled_dot_product_attention(q, k, v)
        else:
            n = len(attn_mask)
            first, others = q.split([n, count - n], dim=2)
            noised = F.scaled_dot_product_attention(first, k, v, attn_mask=~attn_mask)
            mixed = torch.cat([noised, F.scaled_dot_product_attention(others, k[:, :, n:], v[:, :, n:])], dim=2)
        return F.linear(mixed.transpose(1, 2).reshape(b, count, c), *out)

"""Self-attention between the queries of an image, noised ones (DINO's denoising) kept apart from the others."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class QueryAttention(nn.MultiheadAttention):
    """``nn.MultiheadAttention`` (parameters, names, initialisation) without copies and without a mask over all pairs.

    Noised queries come first. The others attend to no noised query, so they need neither the noised keys nor a mask,
    and PyTorch can use its fastest kernels.
    """

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__(dim, num_heads, batch_first=True)

    def forward(self, query: Tensor, content: Tensor, attn_mask: Tensor | None = None) -> Tensor:  # type: ignore[override]
        """query (content and position) and content (B, N + Q, C) -> (B, N + Q, C).

        ``attn_mask``: bool (N, N + Q), True where a noised query (row) may not attend; None without noised queries.
        """
        b, count, c = query.shape
        weight, bias = self.in_proj_weight.split([2 * c, c]), self.in_proj_bias.split([2 * c, c])
        pair = F.linear(query, weight[0], bias[0]).view(b, count, 2, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        q, k = pair.unbind(0)
        v = F.linear(content, weight[1], bias[1]).view(b, count, self.num_heads, -1).transpose(1, 2)
        n = 0 if attn_mask is None else len(attn_mask)
        mixed = F.scaled_dot_product_attention(q[:, :, n:], k[:, :, n:], v[:, :, n:])
        if attn_mask is not None:
            noised = F.scaled_dot_product_attention(q[:, :, :n], k, v, attn_mask=~attn_mask)
            mixed = torch.cat([noised, mixed], dim=2)
        return self.out_proj(mixed.transpose(1, 2).reshape(b, count, c))

"""Deformable encoder: the tokens of all levels attend to each other (Deformable DETR, section 4.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..checkpointing import run_checkpointed
from ..fused import add_and_normalise
from ..tensor_cache import cache_tensors
from .attention import DeformableAttention
from .layers import FeedForward, Sizes
from .padding import Levels, Padding, extent
from .sampling import LevelShapes


@cache_tensors
def cell_centres(shapes: LevelShapes, padding: Padding | None, device: torch.device) -> Tensor:
    """Centres of all levels' cells as x, y in 0..1 of the image, row by row: (1, S, 2), or (B, S, 2) if padded."""
    centres = []
    for level, (h, w) in enumerate(shapes):
        y, x = (torch.arange(side, dtype=torch.float32, device=device) + 0.5 for side in (h, w))
        cells = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], -1).reshape(1, -1, 2)
        size = torch.tensor([[w, h]], device=device) if padding is None else extent(padding.level_masks[level])[:, None]
        centres.append(cells / size)
    return torch.cat(centres, dim=1)


class EncoderLayer(nn.Module):
    """Deformable self-attention and feed-forward, post-norm."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.self_attn = DeformableAttention(*sizes[:4])
        self.norm = nn.LayerNorm(sizes.dim)
        self.ffn = FeedForward(sizes.dim, sizes.ffn_dim)

    def forward(self, tokens: Tensor, positions: Tensor, centres: Tensor, levels: Levels) -> Tensor:
        attended = self.self_attn.sample(tokens + positions, centres, tokens, levels)
        return self.ffn(add_and_normalise(tokens, attended, self.self_attn.output_proj, self.norm))


class Encoder(nn.Module):
    """A stack of layers; tokens (B, S, C) -> memory (B, S, C)."""

    def __init__(self, num_layers: int, sizes: Sizes, use_checkpoint: bool = False) -> None:
        super().__init__()
        self.use_checkpoint = use_checkpoint
        self.layers = nn.ModuleList(EncoderLayer(sizes) for _ in range(num_layers))

    def forward(self, tokens: Tensor, positions: Tensor, levels: Levels) -> Tensor:
        centres = cell_centres(*levels, tokens.device).expand(tokens.shape[0], -1, -1)
        for layer in self.layers:
            tokens = run_checkpointed(layer, tokens, positions, centres, levels, enabled=self.use_checkpoint)
        return tokens

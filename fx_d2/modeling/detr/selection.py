"""Two-stage query selection: every memory token proposes a box, the best become queries (DINO, section 3.3)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from .attention import LevelShapes
from .encoder import cell_centres


def grid_proposals(shapes: LevelShapes, anchor_size: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """A square box round each cell centre, its side doubling at every level.

    Returns:
        boxes in logit space (S, 4), infinite where a box leaves (0.01, 0.99), and the mask (S, 1) of the others.
    """
    sides = [torch.full((h * w, 2), anchor_size * 2.0**level, device=device) for level, (h, w) in enumerate(shapes)]
    boxes = torch.cat([cell_centres(shapes, device), torch.cat(sides)], dim=-1)
    inside = ((boxes > 0.01) & (boxes < 0.99)).all(-1, keepdim=True)
    return torch.logit(boxes).masked_fill(~inside, float("inf")), inside


class QuerySelector(nn.Module):
    """Projects the memory and picks the tokens with the highest class logit."""

    def __init__(self, dim: int, anchor_size: float) -> None:
        super().__init__()
        self.anchor_size = anchor_size
        self.linear = nn.Linear(dim, dim)
        self.norm = nn.LayerNorm(dim)

    def forward(
        self,
        memory: Tensor,
        shapes: LevelShapes,
        class_head: Callable[[Tensor], Tensor],
        box_head: Callable[[Tensor], Tensor],
        count: int,
    ) -> tuple[Tensor, Tensor]:
        """memory (B, S, C) -> logits (B, Q, K) and boxes (B, Q, 4) in 0..1 of the Q = min(count, S) best tokens."""
        proposals, inside = grid_proposals(shapes, self.anchor_size, memory.device)
        tokens = self.norm(self.linear(memory * inside.to(memory.dtype)))
        logits = class_head(tokens).float()
        best = logits.max(-1).values.topk(min(count, memory.shape[1]), dim=1).indices[..., None]  # (B, Q, 1)
        chosen = tokens.gather(1, best.expand(-1, -1, tokens.shape[-1]))
        anchors = proposals.expand(memory.shape[0], -1, -1).gather(1, best.expand(-1, -1, 4))
        boxes = (box_head(chosen).float() + anchors).sigmoid()
        return logits.gather(1, best.expand(-1, -1, logits.shape[-1])), boxes

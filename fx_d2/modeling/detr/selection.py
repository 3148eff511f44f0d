"""Two-stage query selection: every memory token proposes a box, the best become queries (DINO, section 3.3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..cast_linear import CastLinear
from ..tensor_cache import cache_tensors
from .encoder import cell_centres
from .padding import Levels, Padding
from .sampling import LevelShapes


@cache_tensors
def grid_proposals(
    shapes: LevelShapes, padding: Padding | None, anchor_size: float, device: torch.device
) -> tuple[Tensor, Tensor]:
    """A square box at each cell centre, whose side doubles from level to level: in logit space (1 or B, S, 4).

    Infinite where a box leaves (0.01, 0.99) or its cell is padding; the second result (1 or B, S, 1) is False there.
    """
    centres = cell_centres(shapes, padding, device)
    sides = torch.cat([torch.full((h * w, 2), 2.0**level, device=device) for level, (h, w) in enumerate(shapes)])
    boxes = torch.cat([centres, (anchor_size * sides).expand(len(centres), -1, -1)], dim=-1)
    inside = ((boxes > 0.01) & (boxes < 0.99)).all(-1, keepdim=True)
    if padding is not None:
        inside = inside & ~padding.token_mask[..., None]
    return torch.logit(boxes).masked_fill(~inside, float("inf")), inside


@dataclass
class Selection:
    """The Q best tokens of each image in the order of their score.

    ``tokens`` (B, Q, C) after the selector's layer; ``logits`` (B, Q, K); ``boxes`` and ``anchors`` (B, Q, 4) cx, cy,
    w, h in 0..1, with and without the predicted offset; ``index`` (B, Q) of the token; ``scores`` (B, S): the largest
    class logit of *every* token.
    """

    tokens: Tensor
    logits: Tensor
    boxes: Tensor
    anchors: Tensor
    index: Tensor
    scores: Tensor


class QuerySelector(nn.Module):
    """Projects the memory and picks the tokens with the highest class logit; no ``layer`` in Foundation X+."""

    def __init__(self, dim: int, anchor_size: float, layer: bool = True) -> None:
        super().__init__()
        self.anchor_size = anchor_size
        self.linear = CastLinear(dim, dim) if layer else nn.Identity()
        self.norm = nn.LayerNorm(dim) if layer else nn.Identity()

    def forward(
        self, memory: Tensor, levels: Levels, class_head: nn.Module, box_head: nn.Module, count: int
    ) -> Selection:
        """memory (B, S, C) -> the min(count, S) best tokens."""
        proposals, inside = grid_proposals(*levels, self.anchor_size, memory.device)
        tokens = self.norm(self.linear(memory * inside.to(memory.dtype)))
        logits = class_head(tokens).float()
        scores = logits.max(-1).values
        index = scores.topk(min(count, memory.shape[1]), dim=1).indices

        def select(x: Tensor) -> Tensor:
            return x.expand(memory.shape[0], -1, -1).gather(1, index[..., None].expand(-1, -1, x.shape[-1]))

        best, anchors = select(tokens), select(proposals)
        boxes = (box_head(best).float() + anchors).sigmoid()
        return Selection(best, select(logits), boxes, anchors.sigmoid(), index, scores)

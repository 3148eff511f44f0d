"""Deformable decoder with iterative refinement of boxes, "look forward twice" (DINO, section 3.4)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..checkpointing import run_checkpointed
from ..fused import add_and_normalise
from .attention import DeformableAttention, QueryAttention
from .layers import MLP, FeedForward, Sizes, box_positions, inverse_sigmoid
from .padding import Levels


class DecoderLayer(nn.Module):
    """Self-attention between queries, deformable cross-attention to the memory, feed-forward; post-norm."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.self_attn = QueryAttention(sizes.dim, sizes.num_heads)
        self.self_norm = nn.LayerNorm(sizes.dim)
        self.cross_attn = DeformableAttention(*sizes[:4])
        self.cross_norm = nn.LayerNorm(sizes.dim)
        self.ffn = FeedForward(sizes.dim, sizes.ffn_dim)

    def forward(
        self, content: Tensor, position: Tensor, boxes: Tensor, memory: Tensor, levels: Levels, attn_mask: Tensor | None
    ) -> Tensor:
        content = self.self_norm(content + self.self_attn(content + position, content, attn_mask))
        attended = self.cross_attn.sample(content + position, boxes, memory, levels)
        content = add_and_normalise(content, attended, self.cross_attn.output_proj, self.cross_norm)
        return self.ffn(content)


@dataclass
class DecoderOutput:
    """Normalised ``states`` (layers, B, Q, C), predicted ``boxes`` (layers, B, Q, 4) and ``references``.

    ``references`` (layers + 1, B, Q, 4) are the boxes before the first layer and after each one. The box of layer l
    keeps the gradient of reference l, while the layer samples at the detached reference: the losses of a layer and of
    the next one train it.
    """

    states: Tensor
    boxes: Tensor
    references: Tensor


class Decoder(nn.Module):
    """A stack of layers that refines boxes layer by layer."""

    def __init__(self, num_layers: int, sizes: Sizes, use_checkpoint: bool = False) -> None:
        super().__init__()
        self.use_checkpoint = use_checkpoint
        self.layers = nn.ModuleList(DecoderLayer(sizes) for _ in range(num_layers))
        self.norm = nn.LayerNorm(sizes.dim)
        self.ref_point_head = MLP(2 * sizes.dim, sizes.dim, sizes.dim, 2)

    def forward(
        self,
        content: Tensor,
        boxes: Tensor,
        memory: Tensor,
        levels: Levels,
        box_head: nn.Module,
        refine_head: nn.Module,
        attn_mask: Tensor | None = None,
    ) -> DecoderOutput:
        """
        Args:
            content: (B, Q, C) queries. boxes: (B, Q, 4) their initial boxes, cx, cy, w, h in 0..1. memory: (B, S, C).
            box_head, refine_head: C -> 4 offsets in logit space, for the predicted boxes and for the next layer's
                references; the same head except in Foundation X. attn_mask: see :class:`.QueryAttention`.
        """
        contents, references = [], [boxes]
        padding = levels.padding
        for layer in self.layers:
            detached = references[-1].detach()
            scaled = detached if padding is None else detached * padding.valid_ratios[:, :1].repeat(1, 1, 2)
            position = self.ref_point_head(box_positions(scaled, content.shape[-1]).to(content.dtype))
            inputs = content, position, detached, memory, levels, attn_mask
            content = run_checkpointed(layer, *inputs, enabled=self.use_checkpoint)
            contents.append(content)
            # The running refinement reads the state before the norm, as DINO does.
            references.append((refine_head(content).float() + inverse_sigmoid(detached)).sigmoid())
        # No layer reads these, so that one pass of the heads serves all layers.
        states, boxes = self.norm(torch.stack(contents)), torch.stack(references)
        predictions = (box_head(states).float() + inverse_sigmoid(boxes[:-1])).sigmoid()
        return DecoderOutput(states, predictions, boxes)

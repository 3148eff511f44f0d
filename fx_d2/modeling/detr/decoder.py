"""Deformable decoder with iterative refinement of boxes, "look forward twice" (DINO, section 3.4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..checkpointing import run_checkpointed
from .attention import DeformableAttention
from .layers import MLP, FeedForward, Sizes, box_positions, inverse_sigmoid
from .padding import Padding
from .sampling import LevelShapes
from .self_attention import QueryAttention


class DecoderLayer(nn.Module):
    """Self-attention between queries, deformable cross-attention to the memory, feed-forward; post-norm."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        dim = sizes.dim
        self.self_attn = QueryAttention(dim, sizes.num_heads)
        self.self_norm = nn.LayerNorm(dim)
        self.cross_attn = DeformableAttention(*sizes[:4])
        self.cross_norm = nn.LayerNorm(dim)
        self.ffn = FeedForward(dim, sizes.ffn_dim)

    def forward(
        self,
        content: Tensor,
        position: Tensor,
        boxes: Tensor,
        memory: Tensor,
        shapes: LevelShapes,
        blocked: Tensor | None,
        padding: Padding | None = None,
    ) -> Tensor:
        content = self.self_norm(content + self.self_attn(content + position, content, blocked))
        content = self.cross_norm(content + self.cross_attn(content + position, boxes, memory, shapes, padding))
        return self.ffn(content)


@dataclass
class Decoded:
    """Normalised ``states`` (layers, B, Q, C), predicted ``boxes`` (layers, B, Q, 4) and ``references``.

    ``references`` (layers + 1, B, Q, 4) are the boxes before the first layer and after each one. The box of layer l is
    built on reference l *with* its gradient, while the layer itself samples around it without: each layer is
    trained by its own and by the next layer's loss.
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
        shapes: LevelShapes,
        box_head: Callable[[Tensor], Tensor],
        refine_head: Callable[[Tensor], Tensor],
        blocked: Tensor | None = None,
        padding: Padding | None = None,
    ) -> Decoded:
        """Runs all layers.

        Args:
            content: (B, Q, C) queries. boxes: (B, Q, 4) their first boxes, cx, cy, w, h in 0..1.
            memory: (B, S, C). box_head, refine_head: C -> 4 offsets in logit space, of a layer's output and of the
                boxes that it hands on; one and the same except in Foundation X. blocked: see
                :class:`.QueryAttention`.
        """
        states, predictions, references = [], [], [boxes]
        for layer in self.layers:
            reference = references[-1]  # keeps its gradient for the prediction
            detached = reference.detach()
            place = detached if padding is None else detached * padding.ratios[:, :1].repeat(1, 1, 2)
            position = self.ref_point_head(box_positions(place, content.shape[-1]).to(content.dtype))
            inputs = content, position, detached, memory, shapes, blocked, padding
            content = run_checkpointed(layer, *inputs, enabled=self.use_checkpoint)
            state = self.norm(content)
            states.append(state)
            predictions.append((box_head(state).float() + inverse_sigmoid(reference)).sigmoid())
            # The running refinement reads the state before the norm, as DINO does.
            references.append((refine_head(content).float() + inverse_sigmoid(detached)).sigmoid())
        return Decoded(torch.stack(states), torch.stack(predictions), torch.stack(references))

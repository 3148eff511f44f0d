"""The sizes of a network, read off the shapes of its weights."""

from __future__ import annotations

from itertools import count
from typing import Any

from torch import Tensor

from .files import State
from .layouts import Layout, Target
from .safe import CheckpointError

# The published number of sampling points per head and level; heads times points is all that a shape shows.
_POINTS = 4


def swin_sizes(state: State, layout: Layout) -> dict[str, Any]:
    """The keys of ``MODEL.SWIN`` that fit a file's backbone.

    Raises:
        CheckpointError: the file has no Swin backbone.
    """

    def tensor(name: str) -> Tensor | None:
        source = layout.source(f"backbone.{name}", Target({}, {}))
        return None if source is None else state.get(source.key)

    patch = tensor("patch_embed.proj.weight")
    hidden = tensor("layers.0.blocks.0.mlp.fc1.weight")
    if patch is None or hidden is None:
        raise CheckpointError("the file has no Swin backbone")
    depths, heads = [], []
    for stage in count():
        tables: list[Tensor] = []
        while (table := tensor(f"layers.{stage}.blocks.{len(tables)}.attn.relative_position_bias_table")) is not None:
            tables.append(table)
        if not tables:
            break
        depths.append(len(tables))
        heads.append(tables[0].shape[1])
        rows = tables[0].shape[0]
    return {
        "MODEL.SWIN.PATCH_SIZE": patch.shape[2],
        "MODEL.SWIN.EMBED_DIM": patch.shape[0],
        "MODEL.SWIN.DEPTHS": depths,
        "MODEL.SWIN.NUM_HEADS": heads,
        "MODEL.SWIN.WINDOW_SIZE": (round(rows**0.5) + 1) // 2,
        "MODEL.SWIN.MLP_RATIO": hidden.shape[0] / patch.shape[0],
    }


def box_sizes(state: State) -> dict[str, Any]:
    """The keys of ``MODEL.BOX`` that fit a detector's transformer (Foundation X, X+ and DINO name it alike)."""
    embed = state.get("transformer.level_embed")
    if embed is None:
        raise CheckpointError("the file has no transformer.level_embed")
    levels, dim = embed.shape
    attention = state["transformer.encoder.layers.0.self_attn.attention_weights.weight"]
    queries = [value for name, value in state.items() if name.startswith("transformer.tgt_embed.")]
    sizes = {
        "MODEL.BOX.DIM": dim,
        "MODEL.BOX.NUM_POINTS": _POINTS,
        "MODEL.BOX.NUM_HEADS": attention.shape[0] // (levels * _POINTS),
        "MODEL.BOX.FFN_DIM": state["transformer.encoder.layers.0.linear1.weight"].shape[0],
        "MODEL.BOX.ENCODER_LAYERS": _layers(state, "transformer.encoder.layers."),
        "MODEL.BOX.DECODER_LAYERS": max(
            _layers(state, "transformer.decoder.layers."), _layers(state, "transformer.decoder.0.layers.")
        ),
    }
    return sizes | ({"MODEL.BOX.NUM_QUERIES": queries[0].shape[0]} if queries else {})


def _layers(state: State, prefix: str) -> int:
    numbers = {int(name[len(prefix) :].split(".")[0]) for name in state if name.startswith(prefix)}
    return max(numbers, default=-1) + 1

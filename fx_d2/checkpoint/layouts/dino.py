"""DINO detectors with a Swin backbone, as DINO's own code names them; the Foundation X layouts build on these names."""

from __future__ import annotations

import re

from .base import Layout, Source, Target
from .swin import BUFFERS

_ENCODER = {"norm": "norm1", "ffn.linear1": "linear1", "ffn.linear2": "linear2", "ffn.norm": "norm2"}
# The decoder layer runs self-attention (norm2) first, then cross-attention (norm1), then the feed-forward (norm3).
_DECODER = {
    "self_norm": "norm2",
    "cross_norm": "norm1",
    "ffn.linear1": "linear1",
    "ffn.linear2": "linear2",
    "ffn.norm": "norm3",
}


def _renamed(rest: str, names: dict[str, str]) -> str:
    """``layers.3.ffn.norm.weight`` -> ``layers.3.norm3.weight``."""
    layer = re.match(r"layers\.\d+\.", rest)
    if layer is None:
        return rest
    part, _, leaf = rest[layer.end() :].rpartition(".")
    return f"{layer[0]}{names.get(part, part)}.{leaf}"


def split_branch(name: str) -> tuple[str, str, str] | None:
    """``heads.box.decoders.node21.norm.weight`` -> (``decoders``, ``node21``, ``norm.weight``); None for others."""
    found = re.match(r"heads\.(?:box|mask|cls)\.(\w+)\.([^.]+)\.(.+)", name)
    owned = ("decoders", "selectors", "memory_projections", "branches")
    return (found[1], found[2], found[3]) if found and found[1] in owned else None


def shared_source(name: str) -> Source | None:
    """What all datasets share: trunk, input projection, level embedding, encoder."""
    if name.startswith("backbone."):
        return Source("backbone.0." + name[len("backbone.") :])
    if name.startswith("heads.box.input_proj."):
        return Source(name[len("heads.box.") :])
    if name == "heads.box.level_embed":
        return Source("transformer.level_embed")
    if name.startswith("heads.box.encoder."):
        return Source("transformer.encoder." + _renamed(name[len("heads.box.encoder.") :], _ENCODER))
    return None


def decoder_source(rest: str, prefix: str) -> Source:
    """A tensor of one decoder, below ``prefix``."""
    return Source(prefix + _renamed(rest, _DECODER))


def _source(name: str, target: Target) -> Source | None:
    norm = re.match(r"heads\.box\.norms\.(\d)\.(.+)", name)
    if norm:
        return Source(f"backbone.0.norm{int(norm[1]) + 1}.{norm[2]}")
    branch = split_branch(name) if name.startswith("heads.box.") else None
    if branch is None:
        return shared_source(name)
    kind, _, rest = branch
    if kind == "decoders":
        return decoder_source(rest, "transformer.decoder.")
    if kind == "selectors":
        return Source(f"transformer.{'enc_output' if rest.startswith('linear') else 'enc_output_norm'}.{leaf(rest)}")
    part, _, inner = rest.partition(".")
    return {
        "content_queries": Source("transformer.tgt_embed.weight"),
        "box_head": Source(f"bbox_embed.0.{inner}"),
        "proposal_box": Source(f"transformer.enc_out_bbox_embed.{inner}"),
    }.get(part)


def leaf(name: str) -> str:
    return name.rpartition(".")[2]


def _recognises(keys: set[str]) -> bool:
    return "backbone.0.patch_embed.proj.weight" in keys and "transformer.decoder.layers.0.norm1.weight" in keys


DINO = Layout(
    "dino",
    "DINO detector with a Swin backbone",
    _recognises,
    _source,
    {
        **BUFFERS,
        "class_embed": "the classes of another data set",
        "enc_out_class_embed": "the classes of another data set",
        "label_enc": "the classes of another data set",
        "bbox_embed.": "the same tensor under another name",
    },
)

"""Foundation X: six box decoders, two box heads per dataset; and Foundation X+: one decoder for all datasets."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ...schedule import Unit
from ..published import CLASSES, head_number
from .base import Layout, Source, Target
from .dino import decoder_source, leaf, shared_source, split_branch
from .swin import BUFFERS, NORM

_IDLE = {
    **BUFFERS,
    "Segnorm": "part of no output of the published network",
    "backbone.0.head.": "part of no output of the published network",
    "classification_heads": "a head of a dataset that is not in this configuration, or has other classes here",
    "segmentation_heads": "a head of a dataset that is not in this configuration, or has other classes here",
}
_OTHER = "a head of a dataset that is not in this configuration"


def _rows(unit: Unit, target: Target, first: int, width: int | None) -> tuple[int, ...] | None:
    """Rows of a published class tensor that are our classes; None: all of them.

    Raises:
        LookupError: the classes are others, so that no row can be told.
    """
    published = CLASSES[unit.task][unit.dataset]
    ours: Sequence[str] = target.classes[unit]
    if target.by_position:
        published = tuple(ours)
    if width is not None and width > len(ours):  # all published logits are kept, so the order must be theirs
        if tuple(ours) != tuple(published):
            raise LookupError(f"{unit} has other classes than the published network")
        return tuple(range(width))
    if not set(ours) <= set(published):
        raise LookupError(f"{unit} has classes that the published network lacks")
    rows = tuple(first + published.index(name) for name in ours)
    return None if first == 0 and len(rows) == len(published) and rows == tuple(range(len(rows))) else rows


def _mask_source(name: str) -> Source | None:
    rest = name[len("heads.mask.") :]
    stage = re.match(r"pooling\.stages\.(\d)\.(\d)\.(.+)", rest)
    if stage:  # the published stage counts its pooling as element 0
        return Source(f"backbone.0.segmentation_PPN.stages.{stage[1]}.{int(stage[2]) + 1}.{stage[3]}")
    if rest.startswith("pyramid.smooth."):
        keys = [f"backbone.0.segmentation_FPN.smooth_conv.{i}.{leaf(rest)}" for i in range(3)]
        return Source(keys[0], aliases=tuple(keys[1:]))
    for ours, theirs in (
        ("pooling.bottleneck.", "segmentation_PPN.bottleneck."),
        ("pyramid.lateral.", "segmentation_FPN.conv1x1."),
        ("pyramid.fusion.", "segmentation_FPN.conv_fusion."),
    ):
        if rest.startswith(ours):
            return Source(f"backbone.0.{theirs}{rest[len(ours) :]}")
    return None


def _common_source(name: str, target: Target) -> Source | None:
    """What both layouts name alike: all but the box decoders and branches."""
    if name.startswith(NORM):
        return Source("backbone.0.norm." + name[len(NORM) :])
    norm = re.match(r"heads\.box\.norms\.(\d)\.(.+)", name)
    if norm:
        return Source(f"backbone.0.Locnorm{int(norm[1]) + 1}.{norm[2]}")
    branch = split_branch(name)
    if branch is None:
        return _mask_source(name) if name.startswith("heads.mask.") else shared_source(name)
    _, dataset, rest = branch
    task = name.split(".")[1]
    number = head_number(task, dataset)
    if number is None or task == "box":
        return None
    kind = "classification_heads" if task == "cls" else "segmentation_heads"
    try:
        rows = _rows(Unit(dataset, task), target, 0, None)
    except LookupError:
        return None
    return Source(f"backbone.0.{kind}.{number}.{rest}", rows)


def _branch_source(dataset: str, rest: str, target: Target, keys: dict[str, tuple[str, ...]]) -> Source | None:
    """A tensor of a dataset's box branch; ``keys``: our part -> the published prefixes of that one tensor."""
    part, _, inner = rest.partition(".")
    if part not in keys:
        return None
    first, *others = (f"{prefix}.{inner}" for prefix in keys[part])
    rows = None
    if part in ("class_head", "proposal_class", "label_embed"):
        width = target.shapes[f"heads.box.branches.{dataset}.{rest}"][0]
        try:
            rows = _rows(Unit(dataset, "box"), target, 1, width)
        except LookupError:
            return None
    return Source(first, rows, tuple(others))


def _layers(target: Target) -> range:
    """The decoder's layers: published heads are listed once for each, as one tensor."""
    found = [re.match(r"heads\.box\.decoders\.\w+\.layers\.(\d+)\.", name) for name in target.shapes]
    return range(max((int(match[1]) + 1 for match in found if match), default=1))


def _box_part(name: str) -> tuple[str, str, str, int | None] | None:
    """kind, owner, rest and published number of a tensor that belongs to one dataset or decoder of the box head."""
    branch = split_branch(name) if name.startswith("heads.box.") else None
    return None if branch is None else (*branch, head_number("box", branch[1]))


def foundation_x_source(name: str, target: Target) -> Source | None:
    found = _box_part(name)
    if found is None:
        return _common_source(name, target)
    kind, dataset, rest, d = found
    if d is None:
        return None
    t = "transformer."
    if kind == "decoders":
        return decoder_source(rest, f"{t}decoder.{d}.")
    if kind == "selectors":
        return Source(f"{t}{'enc_output' if rest.startswith('linear') else 'enc_output_norm'}.{d}.{leaf(rest)}")
    if kind == "memory_projections":
        return Source(f"{t}enc_outputMem_LinearProjection.{d}.{rest}")
    refined = f"heads.box.branches.{dataset}.refine_head.layers.0.weight" in target.shapes
    layers = _layers(target)
    output = tuple(f"bbox_embed_.{d}.{layer}" for layer in layers)
    refine = tuple(f"{prefix}bbox_embed{d_l}" for prefix, d_l in _decoder_heads(d, layers))
    keys = {
        "content_queries": (f"{t}tgt_embed",),
        "label_embed": ("label_enc",),
        "class_head": tuple(f"class_embed_.{d}.{layer}" for layer in layers),
        # The published output head was never trained: without heads of its own, refinement is what is worth having.
        "box_head": output if refined else refine,
        "refine_head": refine,
        "proposal_class": (f"{t}enc_out_class_embed.{d}",),
        "proposal_box": (f"{t}enc_out_bbox_embed.{d}",),
    }
    return _branch_source(dataset, rest, target, keys)


def _decoder_heads(d: int, layers: range) -> list[tuple[str, str]]:
    """Where the refinement heads of dataset d stand: in its decoder, and once more at the top."""
    inside = [(f"transformer.decoder.{d}.", f".{layer}") for layer in layers]
    return inside + [("", f".{d}.{layer}") for layer in layers]


def foundation_x_plus_source(name: str, target: Target) -> Source | None:
    found = _box_part(name)
    if found is None:
        return _common_source(name, target)
    kind, dataset, rest, d = found
    t = "transformer."
    if kind == "decoders":
        return decoder_source(rest, f"{t}decoder.")
    if kind != "branches" or d is None:  # the selector's layer is bypassed
        return None
    layers = _layers(target)
    keys = {
        "content_queries": (f"{t}tgt_embed.{d}",),
        "label_embed": ("label_enc",),
        # At the top, and the same tensors once more in the decoder.
        "class_head": tuple(f"{prefix}class_embed.{d}.{i}" for prefix in ("", f"{t}decoder.") for i in layers),
        "box_head": tuple(f"{prefix}bbox_embed.{d}.{i}" for prefix in ("", f"{t}decoder.") for i in layers),
        "proposal_class": (f"{t}enc_out_class_embed.{d}",),
        "proposal_box": (f"{t}enc_out_bbox_embed.{d}",),
    }
    return _branch_source(dataset, rest, target, keys)


def _published(keys: set[str]) -> bool:
    return any(key.startswith("backbone.0.classification_heads.") for key in keys)


FOUNDATION_X = Layout(
    "foundation_x",
    "Foundation X",
    lambda keys: _published(keys) and "transformer.decoder.0.layers.0.norm1.weight" in keys,
    foundation_x_source,
    {
        **_IDLE,
        "class_embed.": "part of no output of the published network",
        "class_embed_": _OTHER,
        "bbox_embed_": "never trained; MODEL.BOX.REFINE_HEADS is off, or its dataset is not in this configuration",
        "bbox_embed.": _OTHER,
        "transformer.decoder": _OTHER,
        "enc_outputMem": "MODEL.BOX.MEMORY_PROJECTION is off, or its dataset is not in this configuration",
        "enc_out": _OTHER,
    },
)
FOUNDATION_X_PLUS = Layout(
    "foundation_x_plus",
    "Foundation X+",
    lambda keys: _published(keys) and "transformer.decoder.layers.0.norm1.weight" in keys,
    foundation_x_plus_source,
    {
        **_IDLE,
        "bbox_embed_": "left over in the published network",
        "class_embed_": "left over in the published network",
        "class_embed": _OTHER,
        "bbox_embed": _OTHER,
        "tgt_embed": _OTHER,
        "enc_output": "bypassed in Foundation X+",
        "enc_out": _OTHER,
    },
)

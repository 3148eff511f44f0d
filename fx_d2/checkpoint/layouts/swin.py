"""Swin backbones: Microsoft's release, timm before 0.9 (the same names), timm today, and Ark.

Microsoft and early timm keep the patch merging at the end of the stage that it closes, as we do; timm since 0.9 at the
start of the stage that it opens. Ark and Ark+ are timm networks with further heads.
"""

from __future__ import annotations

import re

from .base import Layout, Source, Target

BACKBONE, NORM = "backbone.", "heads.cls.norm."
BUFFERS = {
    "relative_position_index": "computed from the window size",
    "attn_mask": "computed from the image size",
}
_HEADS = {"head.": "the classes of another data set"}


def swin_source(name: str, target: Target) -> Source | None:
    """The trunk, and the last norm, which is our classification norm."""
    if name.startswith(BACKBONE):
        return Source(name[len(BACKBONE) :])
    if name.startswith(NORM):
        return Source("norm." + name[len(NORM) :])
    return None


def timm_source(name: str, target: Target) -> Source | None:
    """timm since 0.9: ``layers.i.downsample`` opens stage i."""
    found = swin_source(name, target)
    if found is None:
        return None
    return Source(re.sub(r"^layers\.(\d+)\.downsample", lambda m: f"layers.{int(m[1]) + 1}.downsample", found.key))


def timm_name(name: str) -> str | None:
    """Our name -> timm's (since 0.9); None for what timm's network does not have."""
    found = timm_source(name, Target({}, {}))
    return None if found is None else found.key


def _has_trunk(keys: set[str]) -> bool:
    return "patch_embed.proj.weight" in keys and "layers.0.blocks.0.attn.qkv.weight" in keys


def _is_timm(keys: set[str]) -> bool:
    return _has_trunk(keys) and "layers.0.downsample.reduction.weight" not in keys


def _is_ark(keys: set[str]) -> bool:
    return _has_trunk(keys) and any(key.startswith(("omni_heads.", "projector.")) for key in keys)


_ARK_IDLE = {"omni_heads.": "Ark's heads, one per data set", "projector.": "Ark's projector"}
ARK = Layout("ark", "Ark or Ark+ encoder", _is_ark, swin_source, {**BUFFERS, **_HEADS, **_ARK_IDLE}, True)
TIMM = Layout("timm", "Swin of timm 0.9 or later", _is_timm, timm_source, {**BUFFERS, **_HEADS}, True)
SWIN = Layout("swin", "Swin of Microsoft, or of timm before 0.9", _has_trunk, swin_source, {**BUFFERS, **_HEADS}, True)

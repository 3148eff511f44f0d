"""Our own layout: names are kept."""

from __future__ import annotations

from .base import Layout, Source, Target


def _source(name: str, target: Target) -> Source:
    return Source(name)


OWN = Layout(
    "fx_d2",
    "fx_d2",
    lambda keys: (
        any(key.startswith("backbone.layers.") for key in keys)
        and (any(key.startswith("heads.") for key in keys) or "backbone.patch_embed.proj.weight" in keys)
    ),
    _source,
)

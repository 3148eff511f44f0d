"""The layouts of weight files that are understood, and which one a file has."""

from __future__ import annotations

from ..safe import CheckpointError
from .base import Layout, Source, Target
from .dino import DINO
from .foundation_x import FOUNDATION_X, FOUNDATION_X_PLUS
from .swin import ARK, SWIN, TIMM

# Our own files: names are kept.
OWN = Layout(
    "fx_d2",
    "fx_d2",
    lambda keys: (
        any(key.startswith("backbone.layers.") for key in keys)
        and (any(key.startswith("heads.") for key in keys) or "backbone.patch_embed.proj.weight" in keys)
    ),
    lambda name, target: Source(name),
)
# The first that recognises the keys is taken: the special before the general.
LAYOUTS: tuple[Layout, ...] = (OWN, FOUNDATION_X, FOUNDATION_X_PLUS, DINO, ARK, TIMM, SWIN)
NAMES = tuple(layout.name for layout in LAYOUTS)


def find_layout(keys: set[str], name: str = "auto", origin: str = "the file") -> Layout:
    """The layout called ``name``, or the one that the keys show.

    Raises:
        CheckpointError: no layout recognises the keys, or the one that was named does not.
    """
    for layout in LAYOUTS:
        if name in ("auto", layout.name) and layout.recognises(keys):
            return layout
    some = ", ".join(sorted(keys)[:3])
    if name == "auto":
        raise CheckpointError(
            f"{origin}: the names of its tensors ({some} ...) are of no known layout; known: {', '.join(NAMES)}"
        )
    raise CheckpointError(f"{origin}: not of layout {name!r}; its tensors are called {some} ...")


__all__ = ["LAYOUTS", "NAMES", "OWN", "TIMM", "Layout", "Source", "Target", "find_layout"]

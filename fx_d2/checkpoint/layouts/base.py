"""What a layout of weights is: for every tensor of ours, the tensor of the file that it comes from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ...schedule import Unit


@dataclass(frozen=True)
class Source:
    """Where a tensor comes from.

    Attributes:
        key: name in the file.
        rows: rows of it, in the order of our classes; None: all of it.
        aliases: further names that the file has for the very same tensor.
    """

    key: str
    rows: tuple[int, ...] | None = None
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Target:
    """The network that is to be filled.

    Attributes:
        shapes: shape of every tensor of its state, by name.
        classes: class names of every unit.
        by_position: heads whose class names are not the published ones are matched by their order.
    """

    shapes: Mapping[str, tuple[int, ...]]
    classes: Mapping[Unit, Sequence[str]]
    by_position: bool = False


@dataclass(frozen=True)
class Layout:
    """One layout of weight files.

    Attributes:
        name: as ``--layout`` takes it. title: for people.
        recognises: whether a set of keys is of this layout.
        source: our name -> its source; None where the layout has nothing for it.
        idle: key of the file -> why nothing of ours comes from it, where that is known.
        backbone_only: nothing but a backbone (and its last norm) can come from it.
    """

    name: str
    title: str
    recognises: Callable[[set[str]], bool]
    source: Callable[[str, Target], Source | None]
    idle: Mapping[str, str] = field(default_factory=dict)
    backbone_only: bool = False

    def reason(self, key: str) -> str:
        """Why a key of the file is not used; the reasons are given by prefix."""
        for prefix, why in self.idle.items():
            if key.startswith(prefix) or f".{prefix}" in key:
                return why
        return "no counterpart in this configuration"

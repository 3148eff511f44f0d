"""Which classes a horizontal flip exchanges: "Left Lung" becomes "Right Lung"."""

from __future__ import annotations

import re
from collections.abc import Sequence

_OPPOSITE = {"left": "right", "right": "left", "l": "r", "r": "l"}


def split_words(name: str) -> list[str]:
    """``Left Lung``, ``left_lung`` and ``leftLung`` all give ``['left', 'lung']``; ``L10`` gives ``['l', '10']``."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    spaced = re.sub(r"\b([LlRr])(?=\d)", r"\1 ", spaced)
    return [word for word in re.split(r"[\W_]+", spaced.lower()) if word]


def side_of(name: str) -> str | None:
    """``left`` or ``right`` where a class name says one of them, None where it says none or both."""
    sides = {word[0] for word in split_words(name) if word in _OPPOSITE}
    return {"l": "left", "r": "right"}[sides.pop()] if len(sides) == 1 else None


def names_a_side(name: str) -> bool:
    """Whether a class name says left or right (and not both)."""
    return side_of(name) is not None


def derive_pairs(classes: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Pairs of classes whose names differ only in the side, left one first."""
    sided = {tuple(split_words(name)): name for name in classes if names_a_side(name)}
    pairs = []
    for words, name in sided.items():
        opposite = tuple(_OPPOSITE.get(word, word) for word in words)
        if opposite in sided and {"left", "l"} & set(words):
            pairs.append((name, sided[opposite]))
    return tuple(pairs)


def unpaired(classes: Sequence[str], pairs: Sequence[tuple[str, str]]) -> list[str]:
    """Classes that name a side and are in no pair."""
    paired = {name for pair in pairs for name in pair}
    return [name for name in classes if names_a_side(name) and name not in paired]

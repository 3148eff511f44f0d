"""Colours that people with a colour vision deficiency can tell apart, the same for an index in every picture."""

from __future__ import annotations

Color = tuple[float, float, float]

# Okabe and Ito (2008) without black, the ones that stand out most on a grey radiograph first.
_BASE = (
    (230, 159, 0),  # orange
    (86, 180, 233),  # sky blue
    (0, 158, 115),  # bluish green
    (204, 121, 167),  # reddish purple
    (213, 94, 0),  # vermilion
    (0, 114, 178),  # blue
    (240, 228, 66),  # yellow
)
# Beyond seven the colours come again lighter, then darker, then as they are.
_LEVELS = ((0.0, 0.0), (0.5, 1.0), (0.4, 0.0))


def color_of(index: int) -> Color:
    """Red, green, blue in 0..1 of the index-th class or dataset."""
    amount, toward = _LEVELS[index // len(_BASE) % len(_LEVELS)]
    red, green, blue = _BASE[index % len(_BASE)]
    return mix((red / 255, green / 255, blue / 255), toward, amount)


def to_css(color: Color) -> str:
    """``#rrggbb``."""
    return "#" + "".join(f"{round(255 * part):02x}" for part in color)


def mix(color: Color, toward: float, amount: float) -> Color:
    """Moves a colour toward a grey value (0 black, 1 white) by ``amount`` 0..1."""
    red, green, blue = ((1 - amount) * part + amount * toward for part in color)
    return red, green, blue

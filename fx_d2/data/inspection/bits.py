"""Bits of a stored sample, from the first bytes of a PNG or JPEG file."""

from __future__ import annotations

from pathlib import Path

_PNG = b"\x89PNG\r\n\x1a\n"


def stored_bits(path: Path) -> int:
    """1 to 16; 0 where the format does not say. A palette has 8: its colours do."""
    with path.open("rb") as stream:
        head = stream.read(26)
    if head.startswith(_PNG) and len(head) == 26:
        depth, colour_type = head[24], head[25]
        return 8 if colour_type == 3 else depth
    return 8 if head.startswith(b"\xff\xd8") else 0

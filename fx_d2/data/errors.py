"""The one error of the data code, and the wording that its messages share."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class DataError(ValueError):
    """A mistake in a dataset or its declaration; the message names the file, the row or key, and the fix."""


def nearest(name: object, known: Iterable[str], what: str = "known") -> str:
    """Ends a message about an unknown name: the nearest valid one, or the list of them."""
    known = list(known)
    folded = {item.casefold(): item for item in known}
    close = difflib.get_close_matches(str(name).casefold(), folded, n=1)
    if close:
        return f"did you mean {folded[close[0]]!r}?"
    shown = ", ".join(known[:30]) + (f" and {len(known) - 30} more" if len(known) > 30 else "")
    return f"{what}: {shown or 'none'}"


def count(number: int, thing: str) -> str:
    """``1 image``, ``2 images``, ``1 box``, ``2 boxes``."""
    plural = thing + ("es" if thing.endswith(("x", "s")) else "s")
    return f"{number} {thing if number == 1 else plural}"

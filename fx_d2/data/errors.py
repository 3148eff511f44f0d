"""The error of the data code, and wording that its messages share."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class DataError(ValueError):
    """A mistake in a dataset or its declaration; the message names the file, the row or key, and the fix."""


def nearest(name: object, valid: Iterable[str], label: str = "known") -> str:
    """The end of a message about an unknown name: the nearest valid one, or the list of them."""
    names = list(valid)
    folded = {item.casefold(): item for item in names}
    close = difflib.get_close_matches(str(name).casefold(), folded, n=1)
    if close:
        return f"did you mean {folded[close[0]]!r}?"
    listed = ", ".join(names[:30]) + (f" and {len(names) - 30} more" if len(names) > 30 else "")
    return f"{label}: {listed or 'none'}"


def count(number: int, thing: str) -> str:
    """``1 image``, ``2 images``, ``1 box``, ``2 boxes``."""
    plural = thing + ("es" if thing.endswith(("x", "s")) else "s")
    return f"{number} {thing if number == 1 else plural}"

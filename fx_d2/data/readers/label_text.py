"""What the text of a label in a table means; one list for all tables."""

from __future__ import annotations

import math
from functools import lru_cache

UNCERTAIN = -1.0
_WORDS = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}
# What spreadsheets, pandas, R and databases write for a field that holds nothing.
_BLANK = ("", "nan", "na", "n/a", "<na>", "null", "none")


def is_blank(text: str) -> bool:
    """Whether a field holds nothing: empty, or nan, NA, N/A, <NA>, NULL, None in any case."""
    return text.casefold() in _BLANK


@lru_cache(1 << 10)  # millions of fields hold a handful of texts
def label_value(text: str) -> float | None:
    """1 (present), 0 (absent), -1 (uncertain), NaN (blank: unknown); None where the text is no label.

    Present is 1, true or yes, absent 0, false or no, in any case; numbers may be written as ``1.0``.
    """
    if is_blank(text):
        return math.nan
    word = _WORDS.get(text.casefold())
    if word is not None:
        return word
    try:
        value = float(text)
    except ValueError:
        return None
    return value if value in (1.0, 0.0, UNCERTAIN) else None

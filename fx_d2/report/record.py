"""``run.json``: what a run was. :mod:`fx_d2.engine.run_record` writes it; the report reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FILE = "run.json"
FORMAT = 1


def read_record(folder: str | Path) -> dict[str, Any]:
    """The record of a folder; an empty one where there is none.

    Raises:
        ValueError: the file is damaged or of another version.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        return {"format": FORMAT, "sessions": [], "schedule": None, "images": {}}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        known = record["format"] == FORMAT
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} cannot be read ({error}); remove it to write the report without it") from None
    if not known:
        raise ValueError(f"{path}: its format is {record['format']!r}, this version reads {FORMAT}")
    return record

"""Files that are complete or absent: written under a temporary name, flushed, renamed. And cells of CSV files."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

# Ending of a file that is being written.
PARTIAL = ".partial"
# What spreadsheets take for a formula (OWASP, CSV injection), after any number of the marks that switch it off.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")


@contextlib.contextmanager
def replacing(path: Path, flush: bool = True) -> Iterator[BinaryIO]:
    """A stream whose content takes the place of ``path`` at the end of the block, or, after an error, does not.

    Args:
        path: the file; until the rename a reader sees what was there before.
        flush: wait until the content is on the disk. Without it a crash of the machine may leave an empty file.
    """
    partial = path.with_name(path.name + PARTIAL)
    try:
        with partial.open("wb") as stream:
            yield stream
            stream.flush()
            if flush:
                os.fsync(stream.fileno())
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise
    if flush:
        _flush_folder(path.parent)


def _flush_folder(folder: Path) -> None:
    """Makes a rename last; some file systems cannot, and need not."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_json(path: str | Path, value: Any, sort_keys: bool = False) -> None:
    """Writes strict JSON (no NaN, no infinity) and makes the folder.

    Raises:
        ValueError: a number is not finite.
    """
    text = json.dumps(value, indent=1, sort_keys=sort_keys, allow_nan=False)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")


def safe_cell(value: Any) -> Any:
    """A value for a CSV file: text that a spreadsheet would run as a formula gets ``'`` in front, all else stays."""
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


def original_cell(text: str) -> str:
    """The reverse of :func:`safe_cell`."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text

"""The output folder of a run: whether it can be written to, and the files of an earlier run in it."""

from __future__ import annotations

import re
from pathlib import Path

from ..files import PARTIAL

PREVIOUS = "previous"
# What a run writes as it goes; a new run in the same folder must not mix with it.
_RUN_FILES = re.compile(
    r"metrics\.json|run\.json|unit_scores\.jsonl|heartbeat\.json|last_checkpoint|model_.*\.pth(\.later)?"
    r"|events\.out\.tfevents\..*|nonfinite|wandb_id"
)


def check_writable(folder: Path) -> None:
    """Finds out before any work whether a run can write its files.

    Raises:
        OSError: it cannot; the message names the folder.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".writable{PARTIAL}"
        probe.write_bytes(b"\0" * 4096)
        probe.unlink()
    except OSError as error:
        raise OSError(f"OUTPUT_DIR {str(folder)!r} cannot be written to: {error.strerror}") from error


def archive_run(folder: Path) -> Path | None:
    """Moves the files of an earlier run to ``previous/N`` below the folder, so that nobody loses or mixes them.

    Returns:
        where they are now; None if there were none.
    """
    files = [path for path in folder.glob("*") if _RUN_FILES.fullmatch(path.name)]
    if not files:
        return None
    numbers = [int(path.name) for path in (folder / PREVIOUS).glob("*") if path.name.isdigit()]
    target = folder / PREVIOUS / str(max(numbers, default=0) + 1)
    target.mkdir(parents=True)
    for path in files:
        path.rename(target / path.name)
    return target


def rotate(path: Path, limit: int = 20_000_000, keep: int = 5) -> None:
    """Renames a log of more than ``limit`` bytes to ``.1``, the one before to ``.2`` and so on up to ``keep``."""
    if not path.is_file() or path.stat().st_size <= limit:
        return
    for number in range(keep - 1, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        if older.exists():
            older.replace(path.with_name(f"{path.name}.{number + 1}"))
    path.replace(path.with_name(f"{path.name}.1"))

"""Remembers what was measured of an image file, in one SQLite file, until the image changes."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path

from ..data.errors import DataError

_TABLE = "CREATE TABLE IF NOT EXISTS measured (path TEXT, kind TEXT, stamp TEXT, value BLOB, PRIMARY KEY (path, kind))"
_PATIENCE = 60.0  # seconds that a run waits for another one that writes


def default_cache() -> Path:
    """``$XDG_CACHE_HOME/fx_d2/check_data.sqlite``, usually below ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fx_d2" / "check_data.sqlite"


class MeasureCache:
    """Values by path and kind; a value counts only while its stamp (size, time of change, version) is the same.

    SQLite keeps the file whole when a run is killed and lets several runs share it.

    Args:
        path: the file; its folder is made.

    Raises:
        DataError: the file cannot be opened or is no cache.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with closing(self._open()) as database, database:
                database.execute(_TABLE)
        except (OSError, sqlite3.Error) as error:
            raise DataError(
                f"{path}: cannot be used as cache ({error}); delete it, or name another with --cache"
            ) from None

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=_PATIENCE)

    def read(self, kind: str, stamps: Mapping[str, str]) -> dict[str, bytes]:
        """The values of the paths whose stamps are the remembered ones."""
        with closing(self._open()) as database:
            rows = database.execute("SELECT path, stamp, value FROM measured WHERE kind = ?", (kind,))
            return {path: value for path, stamp, value in rows if stamps.get(path) == stamp}

    def write(self, kind: str, values: Iterable[tuple[str, str, bytes]]) -> None:
        """Remembers (path, stamp, value)."""
        rows = [(path, kind, stamp, value) for path, stamp, value in values]
        with closing(self._open()) as database, database:
            database.executemany("INSERT OR REPLACE INTO measured VALUES (?, ?, ?, ?)", rows)

"""A folder of entries that many processes fill and that stays below a size."""

from __future__ import annotations

import logging
import math
import os
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing.sharedctypes import RawValue
from pathlib import Path

from .entry import TEMPORARY, Picture, read_entry, write_entry

logger = logging.getLogger(__name__)

# A process scans the whole folder after it has written this share of the bound. Above the high mark the entries
# that were used least recently go until the low mark; twenty processes cannot pass the bound between two scans.
_SCAN_EVERY = 0.005
_HIGH, _LOW = 0.9, 0.8
# Free space that is left to others, in bytes and as share of the disk.
_RESERVE, _RESERVE_SHARE = 1 << 30, 0.02
# An entry counts as used again after this many seconds: one note of it is enough.
_TOUCH = 60.0
# Files of processes that died while writing.
_STALE = 3600.0

# Kinds of messages.
_OPEN, _FULL, _CLOSED = 1, 2, 4
_NO_MORE = (
    "it takes no more images (%s), so they are decoded each time. Set INPUT.CACHE.DIR to a folder with room, or "
    "INPUT.CACHE.MODE to off"
)
_TOO_SMALL = (
    "it is full (%.1f GB), so the images used least recently go. If a dataset is larger than the cache, raise "
    "INPUT.CACHE.MAX_GB or reduce the images with INPUT.READ_SIDE"
)


@dataclass(frozen=True)
class _Entry:
    path: Path
    used: float
    size: int


@lru_cache
def open_store(folder: Path, max_bytes: int) -> CacheStore:
    """The one store of a process on a folder, so that its readers count and warn together."""
    return CacheStore(folder, max_bytes)


class CacheStore:
    """Entries by key. Every process has its own object on the same folder; no lock is needed.

    Entries appear by renaming and vanish by removal: a reader has either the whole of one or none. Two processes that
    shrink the folder at once remove the same entries.

    Args:
        folder: made when something is first written.
        max_bytes: bound of all entries together.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self._written = math.inf  # bytes written since the last scan; infinity: none yet
        # What was logged, shared with the processes that are forked from this one: every pool of workers would log it
        # again. Once it is logged that the folder takes nothing more, none of them tries.
        self._logged = RawValue("B", 0)

    def __reduce__(self) -> tuple:
        """Copies for other processes are their one store of this folder, too."""
        return open_store, (self.folder, self.max_bytes)

    def usage(self) -> tuple[int, int]:
        """Number of entries and their bytes.

        Raises:
            OSError: the folder cannot be read.
        """
        sizes = [entry.size for entry in self._scan()] if self.folder.exists() else []
        return len(sizes), sum(sizes)

    def get(self, key: bytes) -> Picture | None:
        """The image under a key, or None. A damaged entry is removed."""
        path, picture = self._path(key), None
        with suppress(OSError):  # gone between two calls, or a folder that may only be read
            picture = read_entry(path, key)
            if picture is None:
                path.unlink(missing_ok=True)
            elif time.time() - path.stat().st_mtime > _TOUCH:
                os.utime(path)
        return picture

    def put(self, key: bytes, picture: Picture) -> None:
        """Keeps an image. Where that fails there is one warning, and nothing more is kept in this run."""
        if self._logged.value & _CLOSED or picture.pixels.nbytes > self.max_bytes * _LOW:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._log_once(_OPEN, logging.INFO, "up to %.1f GB of decoded images are kept", self.max_bytes / 1e9)
            if self._written > _SCAN_EVERY * self.max_bytes:
                self.shrink(picture.pixels.nbytes)
            self._written += write_entry(self._path(key), key, picture)
        except OSError as error:
            self._log_once(_CLOSED, logging.WARNING, _NO_MORE, error.strerror or error)

    def shrink(self, extra: int = 0) -> None:
        """Scans the folder and removes the least recently used entries if it is nearly full.

        Args:
            extra: bytes about to be written.

        Raises:
            OSError: the folder cannot be read, or the disk has no room for a cache.
        """
        entries = self._scan()
        total = sum(entry.size for entry in entries)
        disk = shutil.disk_usage(self.folder)
        room = total + disk.free - max(_RESERVE, int(_RESERVE_SHARE * disk.total))
        bound = min(self.max_bytes, room)
        if bound < extra:
            raise OSError(f"no room: {disk.free / 1e9:.1f} GB are free on its disk")
        if total + extra > _HIGH * bound:
            self._log_once(_FULL, logging.WARNING, _TOO_SMALL, bound / 1e9)
            for entry in sorted(entries, key=lambda entry: entry.used):
                if total + extra <= _LOW * bound:
                    break
                with suppress(FileNotFoundError):
                    entry.path.unlink()
                total -= entry.size
        self._written = 0

    def _path(self, key: bytes) -> Path:
        name = key.hex()
        return self.folder / name[:2] / name[2:]

    def _scan(self) -> list[_Entry]:
        """All entries; what others leave behind that died while writing is removed."""
        entries, now = [], time.time()
        for folder in os.scandir(self.folder):
            if not folder.is_dir() or len(folder.name) != 2:
                continue
            for file in os.scandir(folder):
                with suppress(FileNotFoundError):
                    status = file.stat()
                    if not file.name.endswith(TEMPORARY):
                        entries.append(_Entry(Path(file.path), status.st_mtime, status.st_size))
                    elif now - status.st_mtime > _STALE:  # younger ones are being written, each by another process
                        Path(file.path).unlink()
        return entries

    def _log_once(self, what: int, level: int, text: str, value: object) -> None:
        """Logs one kind of message once."""
        if not self._logged.value & what:
            self._logged.value |= what
            logger.log(level, "image cache %s: " + text, self.folder, value)

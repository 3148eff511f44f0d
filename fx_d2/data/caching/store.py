"""A folder of decoded images that many processes fill and that stays below a size.

An image is one file, an *entry*. An incomplete file is never read as an image.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
import struct
import tempfile
import time
import zlib
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

logger = logging.getLogger(__name__)

_MAGIC = b"FXD2IMG1"
# Magic, key, height and width of the pixels, height and width of the image in its file, checksum.
_HEADER = struct.Struct("<8s16s5I")
_TEMPORARY = ".tmp"
# A process scans the folder each time it has written this share of the bound. Above the high mark it evicts the least
# recently used entries down to the low mark. Twenty processes cannot exceed the bound between two scans.
_SCAN_EVERY = 0.005
_HIGH, _LOW = 0.9, 0.8
# Free space to leave on the disk, in bytes and as share of the disk.
_RESERVE, _RESERVE_SHARE = 1 << 30, 0.02
# An entry's time of use is updated at most once in this many seconds.
_TOUCH = 60.0
# Age in seconds at which a temporary file is taken for that of a process that died while writing.
_STALE = 3600.0

# Kinds of messages, as bits.
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
class DecodedImage:
    """An image as it was read: uint8 (h, w), perhaps reduced, and the (height, width) that annotations refer to."""

    pixels: np.ndarray
    size: tuple[int, int]


def write_entry(path: Path, key: bytes, image: DecodedImage) -> int:
    """Writes an entry under a temporary name and moves it into place; returns its size in bytes."""
    pixels = np.ascontiguousarray(image.pixels)
    header = _HEADER.pack(_MAGIC, key, *pixels.shape, *image.size, zlib.crc32(pixels.data))
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(_TEMPORARY, dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(header)
            stream.write(pixels.data)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return len(header) + pixels.nbytes


def read_entry(path: Path, key: bytes) -> DecodedImage | None:
    """The image of an entry, or None if the entry is missing or damaged; OSError if it cannot be read."""
    try:
        with path.open("rb") as stream:
            header = stream.read(_HEADER.size)
            data = np.fromfile(stream, np.uint8)
    except FileNotFoundError:
        return None
    if len(header) < _HEADER.size:
        return None
    magic, stored_key, height, width, full_height, full_width, checksum = _HEADER.unpack(header)
    if (magic, stored_key, height * width) != (_MAGIC, key, data.size) or zlib.crc32(data.data) != checksum:
        return None
    return DecodedImage(data.reshape(height, width), (full_height, full_width))


@lru_cache
def open_store(folder: Path, max_bytes: int) -> CacheStore:
    """The one store of a process on a folder, so that its readers count and warn together."""
    return CacheStore(folder, max_bytes)


def _open_shared(folder: Path, max_bytes: int, logged: torch.Tensor) -> CacheStore:
    store = open_store(folder, max_bytes)
    store._logged = logged
    return store


class CacheStore:
    """Entries by key, together at most ``max_bytes``. Each process has its own object on the folder, without a lock.

    Entries appear by renaming, so a reader gets a whole one or none. Two processes that evict at once remove the same
    entries.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self._written = math.inf  # bytes written since the last scan; infinity: none yet
        # The kinds of messages logged so far, shared with worker processes: each pool would repeat them. After _CLOSED
        # no process writes any more.
        self._logged = torch.zeros((), dtype=torch.uint8).share_memory_()

    def __reduce__(self) -> tuple:
        """Unpickles to the one store of the receiving process."""
        return _open_shared, (self.folder, self.max_bytes, self._logged)

    def usage(self) -> tuple[int, int]:
        """Number of entries and their bytes."""
        entries = self._scan() if self.folder.exists() else []
        return len(entries), sum(size for _, size, _ in entries)

    def get(self, key: bytes) -> DecodedImage | None:
        """The image under a key, or None. A damaged entry is removed."""
        path, image = self._path(key), None
        with suppress(OSError):  # removed between two calls, or a read-only folder
            image = read_entry(path, key)
            if image is None:
                path.unlink(missing_ok=True)
            elif time.time() - path.stat().st_mtime > _TOUCH:
                os.utime(path)
        return image

    def put(self, key: bytes, image: DecodedImage) -> None:
        """Stores an image. If that fails, one warning is logged and nothing more is stored in this run."""
        if self._logged & _CLOSED or image.pixels.nbytes > self.max_bytes * _LOW:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._log_once(_OPEN, logging.INFO, "up to %.1f GB of decoded images are kept", self.max_bytes / 1e9)
            if self._written > _SCAN_EVERY * self.max_bytes:
                self.evict(image.pixels.nbytes)
            self._written += write_entry(self._path(key), key, image)
        except OSError as error:
            self._log_once(_CLOSED, logging.WARNING, _NO_MORE, error.strerror or error)

    def evict(self, extra: int = 0) -> None:
        """Removes the least recently used entries if the folder is nearly full with ``extra`` bytes more.

        Raises:
            OSError: the folder cannot be read, or the disk has no room for a cache.
        """
        entries = self._scan()
        total = sum(size for _, size, _ in entries)
        disk = shutil.disk_usage(self.folder)
        room = total + disk.free - max(_RESERVE, int(_RESERVE_SHARE * disk.total))
        bound = min(self.max_bytes, room)
        if bound < extra:
            raise OSError(f"no room: {disk.free / 1e9:.1f} GB are free on its disk")
        if total + extra > _HIGH * bound:
            self._log_once(_FULL, logging.WARNING, _TOO_SMALL, bound / 1e9)
            for _, size, path in sorted(entries):
                if total + extra <= _LOW * bound:
                    break
                with suppress(FileNotFoundError):
                    os.unlink(path)
                total -= size
        self._written = 0

    def _path(self, key: bytes) -> Path:
        name = key.hex()
        return self.folder / name[:2] / name[2:]

    def _scan(self) -> list[tuple[float, int, str]]:
        """Time of last use, size and path of all entries; removes stale temporary files."""
        entries, now = [], time.time()
        for folder in os.scandir(self.folder):
            if not folder.is_dir() or len(folder.name) != 2:
                continue
            for file in os.scandir(folder):
                with suppress(FileNotFoundError):
                    status = file.stat()
                    if not file.name.endswith(_TEMPORARY):
                        entries.append((status.st_mtime, status.st_size, file.path))
                    elif now - status.st_mtime > _STALE:  # another process may still be writing a younger one
                        os.unlink(file)
        return entries

    def _log_once(self, kind: int, level: int, text: str, value: object) -> None:
        if not self._logged & kind:
            self._logged |= kind
            logger.log(level, "image cache %s: " + text, self.folder, value)

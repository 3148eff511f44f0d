"""Reads images for the mapper: reduced to a largest side, and from the cache where decoding is slow."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import cv2
import platformdirs

from ..formats.signatures import recognise
from ..images import READING_VERSION, read_image, source_files
from .store import DecodedImage, open_store

MODES = ("auto", "all", "off")
# Formats that cost much more to decode than to read back.
_SLOW_FORMATS = ("dicom", "metaimage", "jsrt")


def default_folder() -> Path:
    """``$FX_D2_CACHE``, or else the folder ``fx_d2`` in the user's cache folder of this platform."""
    folder = os.environ.get("FX_D2_CACHE")
    return Path(folder).expanduser() if folder else platformdirs.user_cache_path("fx_d2")


class ImageReader:
    """Reads an image file to a :class:`DecodedImage`.

    Args:
        side: images with a longer side than this many pixels are reduced to it by area averages; 0: never.
        mode: ``auto`` caches DICOM, MetaImage and JSRT files, ``all`` PNG and JPEG files, too, ``off`` nothing.
        folder: of the cache; None: :func:`default_folder`.
        max_bytes: bound of the cache.
        grey: as :func:`fx_d2.data.images.read_image`.

    Raises:
        ValueError: an argument is out of range; the message names the configuration key.
    """

    def __init__(
        self, side: int = 0, mode: str = "off", folder: Path | None = None, max_bytes: int = 0, grey: str = "declared"
    ) -> None:
        if side < 0:
            raise ValueError(f"INPUT.READ_SIDE must be 0 or a number of pixels, not {side!r}")
        if mode not in MODES:
            raise ValueError(f"INPUT.CACHE.MODE must be one of {', '.join(MODES)}, not {mode!r}")
        if mode != "off" and max_bytes <= 0:
            raise ValueError("INPUT.CACHE.MAX_GB must be above 0; INPUT.CACHE.MODE off switches the cache off")
        self.side, self.grey = side, grey
        self.mode = mode
        self.store = open_store((folder or default_folder()) / "images", max_bytes) if mode != "off" else None

    @classmethod
    def from_config(cls, cfg) -> ImageReader:
        """From ``INPUT.READ_SIDE``, ``INPUT.GREY`` and ``INPUT.CACHE``."""
        cache = cfg.INPUT.CACHE
        folder = Path(cache.DIR).expanduser() if cache.DIR else None
        return cls(cfg.INPUT.READ_SIDE, cache.MODE, folder, int(cache.MAX_GB * 1e9), cfg.INPUT.GREY)

    def __call__(self, path: str | Path) -> DecodedImage:
        """Reads an image, from the cache if the file has not changed since.

        Raises:
            DataError: as :func:`fx_d2.data.images.read_image`.
        """
        path = Path(path)
        if self.store is None or (key := self._key(path)) is None:
            return self._read(path)
        image = self.store.get(key)
        if image is None:
            image = self._read(path)
            cached = self.mode == "all" or recognise(path) in _SLOW_FORMATS
            # The key does not describe a file that changed meanwhile, or one whose pixels are in another file.
            if cached and self._key(path) == key and len(source_files(path)) == 1:
                self.store.put(key, image)
        return image

    def _read(self, path: Path) -> DecodedImage:
        pixels = read_image(path, self.grey)
        size = pixels.shape
        if self.side and max(size) > self.side:
            height, width = (max(1, round(length * self.side / max(size))) for length in size)
            pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
        return DecodedImage(pixels, size)

    def _key(self, path: Path) -> bytes | None:
        """16 bytes of all that the pixels depend on; None if the file cannot be accessed (reading it says why)."""
        try:
            status = path.stat()
        except OSError:
            return None
        parts: tuple[object, ...] = (
            READING_VERSION,
            os.path.abspath(path),
            status.st_size,
            status.st_mtime_ns,
            self.side,
        )
        parts += () if self.grey == "declared" else (self.grey,)
        return hashlib.blake2b(repr(parts).encode("utf-8", "surrogateescape"), digest_size=16).digest()

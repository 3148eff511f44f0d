"""Reads many image files in several processes: size, bits, fingerprint, and whether they can be read at all."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from itertools import islice

import cv2
import numpy as np
from tqdm import tqdm

from ..data.errors import DataError
from ..data.images import READING_VERSION, read_header, read_image, read_mask
from .cache import MeasureCache
from .fingerprint import SIDE, VERSION, thumbnails

# Below this many files, starting processes takes longer than reading.
_SERIAL = 200
# Files between two writes to the cache: what a killed run loses at most.
_BATCH = 500


@dataclass(frozen=True)
class Measured:
    """What a picture's file says.

    Attributes:
        height, width: pixels of the decoded image.
        bits: in use of a stored sample.
        span: grey levels between the first and the last hundredth of the pixels, as a share of the scale, 0..1.
        constant: all pixels have one value.
        remarks: what the header makes doubtful.
        thumbnails: uint8 (1 or 2, 48, 48); see :func:`fingerprint.thumbnails`.
    """

    height: int
    width: int
    bits: int
    span: float
    constant: bool
    remarks: tuple[str, ...]
    thumbnails: np.ndarray

    def pack(self) -> bytes:
        head = json.dumps([self.height, self.width, self.bits, self.span, self.constant, self.remarks]).encode()
        return head + b"\n" + self.thumbnails.tobytes()

    @classmethod
    def unpack(cls, value: bytes) -> Measured:
        head, _, small = value.partition(b"\n")
        *facts, remarks = json.loads(head)
        height, width, bits, span, constant = facts
        pictures = np.frombuffer(small, np.uint8).reshape(-1, SIDE, SIDE)
        return cls(height, width, bits, span, constant, tuple(remarks), pictures)


def measure_image(path: str, grey: str = "declared") -> bytes:
    """Raises DataError where the file cannot be read."""
    pixels, header = read_image(path, grey), read_header(path)
    constant = bool((pixels == pixels.flat[0]).all())
    share = np.bincount(pixels.ravel(), minlength=256).cumsum() / pixels.size
    low, high = np.searchsorted(share, (0.01, 0.99))
    span = round(float(high - low) / 255, 3)
    height, width = pixels.shape
    return Measured(height, width, header.bits, span, constant, header.remarks, thumbnails(pixels)).pack()


def measure_mask(path: str) -> bytes:
    """Height, width and pixels inside of a mask picture, as JSON. Raises DataError where it cannot be read."""
    mask = read_mask(path)
    return json.dumps([*mask.shape, int(np.count_nonzero(mask))]).encode()


# What is measured; images by how their grey is read.
_MEASURES: dict[str, Callable[[str], bytes]] = {
    "image": measure_image,
    "image by range": partial(measure_image, grey="range"),
    "mask": measure_mask,
}


def stamps_of(paths: Sequence[str]) -> dict[str, os.stat_result]:
    """The file status of every path that is a file."""
    stamps = {}
    for path in paths:
        with contextlib.suppress(OSError):
            stamps[path] = os.stat(path)
    return stamps


def measure(
    kind: str,
    files: Mapping[str, os.stat_result],
    cache: MeasureCache | None,
    workers: int = 0,
    progress: bool = False,
) -> tuple[dict[str, bytes], dict[str, str]]:
    """Measures files that the cache does not know.

    Args:
        kind: ``image``, ``image by range`` or ``mask``.
        files: status by path.
        cache: None remembers nothing.
        workers: processes; 0 takes one per available core.

    Returns:
        Values by path, and for files that cannot be read what is wrong with them.
    """
    stamps = {
        path: f"{VERSION} {READING_VERSION} {status.st_size} {status.st_mtime_ns}" for path, status in files.items()
    }
    known = cache.read(kind, stamps) if cache else {}
    todo = [path for path in files if path not in known]
    errors: dict[str, str] = {}
    title = f"reading {kind}s" + (f" ({len(known)} known)" if known else "")
    with tqdm(total=len(todo), desc=title, unit="file", disable=not progress or not todo) as bar:
        results = _run([(kind, path) for path in todo], workers)
        while batch := list(islice(results, _BATCH)):
            values = {path: value for path, value, _ in batch if value is not None}
            errors.update({path: error for path, value, error in batch if value is None})
            if cache and values:
                cache.write(kind, [(path, stamps[path], value) for path, value in values.items()])
            known.update(values)
            bar.update(len(batch))
    return known, errors


def _run(jobs: list[tuple[str, str]], workers: int) -> Iterator[tuple[str, bytes | None, str]]:
    workers = min(workers or _cores(), len(jobs))
    if workers <= 1 or len(jobs) < _SERIAL:
        yield from map(_job, jobs)
        return
    # Spawned, not forked: a forked child of a process that runs threads (torch, OpenCV) may hang.
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(workers, context, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
            yield from pool.map(_job, jobs, chunksize=16)
    except BrokenProcessPool:
        raise DataError(
            "a process that read images ended: short of memory (take fewer --workers), or check_data was called from a "
            'script without the guard if __name__ == "__main__"'
        ) from None


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _job(job: tuple[str, str]) -> tuple[str, bytes | None, str]:
    kind, path = job
    try:
        return path, _MEASURES[kind](path), ""
    except DataError as error:
        return path, None, str(error)
    except Exception as error:  # one unreadable file must not end the check of a hundred thousand
        return path, None, f"{path}: cannot be read ({type(error).__name__}: {error})"

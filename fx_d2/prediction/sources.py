"""Which images to read, and reading them ahead of the network."""

from __future__ import annotations

import glob
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from ..data.errors import DataError, count
from ..data.images import SUFFIXES, read_header, read_image
from ..data.listing import list_images, no_images

Source = str | Path | np.ndarray


def find_images(inputs: Sequence[str | Path]) -> list[Path]:
    """Files of folders (with all below them), glob patterns and single files, each once, in order.

    Of a folder the files of :func:`fx_d2.data.listing.list_images`. A file that is named itself is taken whatever it is
    called.

    Raises:
        DataError: an input does not exist, or nothing was found.
    """
    found: dict[Path, None] = {}
    for item in inputs:
        path = Path(item).expanduser()
        if path.is_dir():
            files = list_images(path)
            if not files and len(inputs) == 1:
                raise no_images(path)
        elif path.exists():
            files = [path]
        else:
            matches = [Path(name) for name in sorted(glob.glob(str(path), recursive=True))]
            files = [file for file in matches if file.is_file()]
            if not files:
                raise DataError(f"input {str(item)!r}: no such file or folder, and no file fits it as a pattern")
        found.update(dict.fromkeys(files))
    if not found:
        raise DataError(f"no image in {', '.join(map(str, inputs))}; endings looked for: {', '.join(SUFFIXES)}")
    return list(found)


def load(source: Source, grey: str = "declared") -> np.ndarray:
    """A radiograph as uint8 (H, W).

    Raises:
        DataError: the file cannot be read, or the array is not of that form.
    """
    if not isinstance(source, np.ndarray):
        return read_image(source, grey)
    if source.dtype != np.uint8 or source.ndim != 2 or 0 in source.shape:
        raise DataError(
            f"an array must be uint8 of shape (height, width), not {source.dtype} of shape {source.shape}; "
            "fx_d2.data.images.read_image gives one from a file"
        )
    return source


def column_spacing(name: str) -> float | None:
    """Millimetres between neighbouring columns; None for an array, and where the header of the file does not say."""
    if not Path(name).is_file():
        return None
    try:
        spacing = read_header(name).spacing
    except (DataError, OSError):  # its pixels are there already: no reason to fail
        return None
    return None if spacing is None else spacing[1]


def read_ahead(
    sources: Iterable[Source],
    workers: int,
    ahead: int,
    on_error: Callable[[str, Exception], None] | None,
    grey: str = "declared",
) -> Iterator[tuple[str, np.ndarray]]:
    """Name and pixels of each image in order, decoded in threads up to ``ahead`` images early.

    An image that cannot be read goes to ``on_error`` with its name, or raises where there is none.
    """
    with ThreadPoolExecutor(max(1, workers)) as pool:
        waiting: deque[tuple[str, Future]] = deque()
        numbered = enumerate(sources, start=1)
        exhausted = False
        while waiting or not exhausted:
            while not exhausted and len(waiting) < ahead:
                try:
                    number, source = next(numbered)
                except StopIteration:
                    exhausted = True
                    break
                name = f"array {number}" if isinstance(source, np.ndarray) else str(source)
                waiting.append((name, pool.submit(load, source, grey)))
            if waiting:
                name, future = waiting.popleft()
                try:
                    image = future.result()
                except Exception as error:  # a share that went away, memory that does not suffice, a decoder's own
                    if on_error is None:
                        raise
                    on_error(name, error)
                    continue
                yield name, image


def failure(name: str, error: Exception) -> str:
    """Why an image failed, in one line that begins with its name; of an error that is not for people its kind, too."""
    reason = str(error) if isinstance(error, DataError | OSError) else f"{type(error).__name__}: {error}"
    return " ".join((reason if reason.startswith(name) else f"{name}: {reason}").split())


def summary(done: int, failed: int) -> str:
    """``12 images predicted, 1 failed``."""
    return f"{count(done, 'image')} predicted, {failed} failed"

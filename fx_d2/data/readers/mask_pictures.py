"""Mask pictures of a folder: which image each belongs to, and a look at all of them before anything is trained."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import TypeVar

from tqdm import tqdm

from ..errors import DataError, count
from ..images import MASK_SUFFIXES, image_size
from ..listing import without_ending
from .image_index import ImageIndex

logger = logging.getLogger(__name__)

_PROGRESS_FROM = 2000
Result = TypeVar("Result")


def look_at_all(paths: Sequence[Path], look: Callable[[Path], Result]) -> list[Result]:
    """``look(path)`` of every picture, in threads.

    Raises:
        DataError: some cannot be used; the message is that of the first, and says how many there are.
    """

    def attempt(path: Path) -> Result | DataError:
        try:
            return look(path)
        except DataError as error:
            return error

    quiet = True if len(paths) <= _PROGRESS_FROM else None  # None: only on a terminal
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        results = list(tqdm(pool.map(attempt, paths), "checking masks", len(paths), disable=quiet))
    errors = [result for result in results if isinstance(result, DataError)]
    if errors:
        others = f" ({count(len(errors), 'mask')} of {len(paths)} cannot be used)" if len(paths) > 1 else ""
        raise DataError(f"{errors[0]}{others}")
    return results  # type: ignore[return-value]  # errors are raised


def match_pictures(folder: Path, suffix: str, index: ImageIndex, what: str) -> dict[str, Path]:
    """The picture ``a/b<suffix>.png``, else ``b<suffix>.png``, of each image ``a/b.jpg`` that has one, by image id.

    Other endings: :data:`fx_d2.data.images.MASK_SUFFIXES`.

    Args:
        what: is looked for, for messages.

    Raises:
        DataError: there is none, one fits two images, or an image has two.
    """
    files: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in MASK_SUFFIXES and not path.name.startswith("."):
            files.setdefault(path.relative_to(folder).as_posix().removesuffix(path.suffix), []).append(path)
    found: dict[str, Path] = {}
    users: dict[Path, str] = {}
    for image_id in index.ids:
        name = without_ending(image_id) + suffix
        fitting = files.get(name) or files.get(PurePosixPath(name).name)
        if not fitting:
            continue
        path, *others = fitting
        if others:
            raise DataError(f"{path}: there is {others[0].name}, too, and {image_id} has one {what}; keep one")
        if path in users:
            raise DataError(
                f"{path}: fits both {users[path]} and {image_id}; use the subfolders of the images for masks too"
            )
        users[path] = image_id
        found[image_id] = path
    total = [path for paths in files.values() for path in paths]
    if not found:
        example = PurePosixPath(without_ending(index.ids[0])).name + suffix + ".png"
        raise DataError(
            f"{folder}: no {what} fits an image ({count(len(total), 'picture')} there; the mask "
            f"of {index.ids[0]} would be {example}); check folders and suffix"
        )
    unused = sorted(set(total) - set(found.values()))
    if unused:
        logger.warning("%s: %s without an image (first: %s)", folder, count(len(unused), "mask"), unused[0].name)
    return found


def check_size(path: Path, image_id: str, index: ImageIndex) -> None:
    """Raises DataError unless a mask picture has the size of its image."""
    if image_size(path) != index.size(image_id):
        (height, width), (own_height, own_width) = index.size(image_id), image_size(path)
        raise DataError(
            f"{path}: the mask is {own_width} x {own_height} pixels (width x height), its image "
            f"{index.path(image_id)} {width} x {height}; store both at the same size"
        )

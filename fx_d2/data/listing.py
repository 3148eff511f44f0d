"""The image files of a folder, by their names, or by their content where they have no ending."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from .errors import DataError, count
from .formats.signatures import recognise
from .images import SUFFIXES

_NO_ENDING = "without an ending"


def list_images(root: Path) -> list[Path]:
    """The images in a folder and below it, by path.

    Files that end like an image, and those without an ending (or with a number, the last part of a DICOM UID) that are
    an image by content. Links are followed; files and folders whose names begin with a dot are left out.
    """
    return sorted(path for path in _files(root) if is_image(path))


def is_image(path: Path) -> bool:
    """Whether a file is listed as an image."""
    if path.suffix.lower() in SUFFIXES:
        return True
    if _ending(path) != _NO_ENDING or path.name == "DICOMDIR":
        return False
    try:
        return recognise(path) != "gif"
    except DataError:
        return False


def without_ending(name: str) -> str:
    """A path without the ending of an image; ``1.2.840.55`` is a name without one."""
    suffix = Path(name).suffix
    return name.removesuffix(suffix) if suffix.lower() in SUFFIXES else name


def no_images(root: Path) -> DataError:
    """The error for a folder without any: what is there instead, and what to do."""
    files = list(_files(root))
    if not files:
        return DataError(f"{root}: no image in this folder or below it: it holds no file at all; is the path right?")
    kinds = Counter(map(_ending, files))
    what = ", ".join(f"{number} {kind}" for kind, number in kinds.most_common(5))
    first = min(files, key=lambda path: (-kinds[_ending(path)], str(path)))
    try:
        hint = f"{first.name} is a {recognise(first)} file: give such files an ending that is looked for"
    except DataError as error:
        hint = str(error).replace(str(first), first.name)
    return DataError(
        f"{root}: no image in this folder or below it, but {count(len(files), 'other file')}: {what}. {hint}. "
        f"Endings looked for: {', '.join(SUFFIXES)}, and files without one by content"
    )


def _files(root: Path) -> Iterator[Path]:
    for folder, subfolders, names in os.walk(root, followlinks=True):
        here = os.path.realpath(folder)
        # A link to a folder around it would lead round and round.
        subfolders[:] = [
            name
            for name in subfolders
            if not name.startswith(".") and not _leads_back(here, os.path.join(folder, name))
        ]
        yield from (Path(folder) / name for name in names if not name.startswith("."))


def _leads_back(here: str, folder: str) -> bool:
    return os.path.islink(folder) and f"{here}/".startswith(f"{os.path.realpath(folder)}/")


def _ending(path: Path) -> str:
    ending = path.suffix.lower()
    return ending if ending and not ending[1:].isdigit() else _NO_ENDING

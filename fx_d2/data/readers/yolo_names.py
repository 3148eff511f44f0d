"""The class names of YOLO labels, by number: from data.yaml or classes.txt."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...config.safe_yaml import parse_yaml
from ..errors import DataError
from .tables import read_names

NAME_FILES = ("data.yaml", "classes.txt")
# Folders that are looked into: that of the labels and as many above it (data/labels/train: data/data.yaml).
_ABOVE = 2


def find_names(folder: Path) -> Path | None:
    """The nearest file with class names in a folder of labels or above it; None where there is none.

    Raises:
        DataError: two files in one folder have different names, or one is damaged.
    """
    folder = folder.absolute()
    for place in (folder, *folder.parents[:_ABOVE]):
        found = [path for name in NAME_FILES if (path := place / name).is_file() and _has_names(path)]
        if len(found) > 1 and read_class_names(found[0]) != read_class_names(found[1]):
            raise DataError(f"{found[0]} and {found[1].name} have different names; say which is right: names: FILE")
        if found:
            return found[0]
    return None


def read_class_names(path: Path) -> dict[int, str]:
    """Class names by number: the key ``names`` of a YAML file, or the lines of a text file.

    Raises:
        DataError: the file is damaged, has no names, names one twice, or declares keypoints (``kpt_shape``), whose
            labels look like polygons.
    """
    if path.suffix.lower() not in (".yaml", ".yml"):
        return _checked({int(place.split()[1]) - 1: name for name, place in read_names(path)}, path)
    content = _parse(path)
    if "kpt_shape" in content:
        raise DataError(f"{path}: kpt_shape: these labels are keypoints of a pose; boxes or polygons can be read")
    names = content.get("names")
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not names:
        raise DataError(f"{path}: names is to be a list, [A, B], or a mapping, {{0: A, 1: B}}, not {names!r}")
    if "nc" in content and content["nc"] != len(names):
        raise DataError(f"{path}: nc is {content['nc']!r}, but there are {len(names)} names")
    return _checked(names, path)


def _checked(names: Mapping[Any, Any], path: Path) -> dict[int, str]:
    for number, name in names.items():
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise DataError(f"{path}: names: a class number is a whole number from 0, not {number!r}")
        if not isinstance(name, str) or not name.strip():
            raise DataError(f"{path}: names: class {number} is {name!r}, which is no text; put it in quotes")
        if list(names.values()).count(name) > 1:
            raise DataError(f"{path}: names: {name!r} is named twice")
    return dict(names)


def _has_names(path: Path) -> bool:
    """Our own kind of file, with ``datasets``, may be called data.yaml, too."""
    return path.suffix != ".yaml" or "names" in _parse(path)


def _parse(path: Path) -> dict:
    try:
        content = parse_yaml(path)
    except ValueError as error:
        raise DataError(str(error)) from None
    return content if isinstance(content, dict) else {}

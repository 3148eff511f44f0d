"""YAML files whose mistakes are reported by file and key."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..config.safe_yaml import parse_yaml
from .errors import DataError, nearest


def read_section(path: Path, key: str, allowed: Sequence[str] | None = None, required: Sequence[str] = ()) -> Section:
    """The mapping below the only key of a YAML file; DataError if the file is missing, damaged, or has another key."""
    try:
        document = parse_yaml(path)
    except ValueError as error:
        raise DataError(str(error)) from None
    return Section(document, path, (), (key,), (key,)).child(key, allowed, required)


class Section:
    """A mapping of a YAML file, found there under ``keys``; its mistakes are errors that name file and key.

    Only ``allowed`` keys may occur (None: any text), and ``required`` ones must. Anything but such a mapping raises
    DataError.
    """

    def __init__(
        self, values: Any, file: Path, keys: tuple[str, ...], allowed: Sequence[str] | None, required: Sequence[str]
    ) -> None:
        self.file = file
        self.keys = keys
        if not isinstance(values, dict) or not values:
            such = f" with keys such as {', '.join(required or allowed or ())}" if required or allowed else ""
            raise DataError(f"{self.place}: a mapping{such} is needed here, not {values!r}")
        for key in values:
            if allowed is not None and key not in allowed:
                raise DataError(f"{self.place}: unknown key {key!r}; {nearest(key, allowed, 'keys')}")
            if not isinstance(key, str):
                raise DataError(f"{self.place}: key {key!r} is not text; put it in quotes")
        for key in required:
            if key not in values:
                raise DataError(f"{self.place}: key {key!r} is missing")
        self.values = values

    def __contains__(self, key: str) -> bool:
        return key in self.values

    @property
    def place(self) -> str:
        """File and keys, such as ``my.yaml: datasets.covid_cxr``."""
        return f"{self.file}: {'.'.join(self.keys)}" if self.keys else str(self.file)

    def error(self, key: str, message: str) -> DataError:
        return DataError(f"{self.file}: {'.'.join((*self.keys, key))}: {message}")

    def child(self, key: str, allowed: Sequence[str] | None, required: Sequence[str] = ()) -> Section:
        return Section(self.values[key], self.file, (*self.keys, key), allowed, required)

    def text(self, key: str, default: str | None = None) -> str:
        value = self.values.get(key, default)
        if not isinstance(value, str):
            raise self.error(key, f"text is needed, not {value!r}; put it in quotes if it is meant")
        return value

    def flag(self, key: str) -> bool:
        """True or false; false if the key is absent."""
        value = self.values.get(key, False)
        if not isinstance(value, bool):
            raise self.error(key, f"true or false is needed, not {value!r}")
        return value

    def choice(self, key: str, words: Sequence[str]) -> str:
        """One of some words; the first if the key is absent."""
        value = self.values.get(key, words[0])
        if value not in words:
            raise self.error(key, f"{' or '.join(words)} is needed, not {value!r}")
        return value

    def names(self, key: str) -> tuple[str, ...] | None:
        """A list of different names, None if the key is absent."""
        if key not in self.values:
            return None
        value = self.values[key]
        if not isinstance(value, list) or not value:
            raise self.error(key, f"a list of names is needed, not {value!r}")
        return self.distinct(key, value)

    def distinct(self, key: str, names: Sequence[Any]) -> tuple[str, ...]:
        """Checks names to be text, each once."""
        for name in names:
            if not isinstance(name, str) or not name.strip():
                raise self.error(key, f"{name!r} is not text; put it in quotes (YAML has its own idea of yes, no, 1)")
            if list(names).count(name) > 1:
                raise self.error(key, f"{name!r} is named twice")
        return tuple(names)

    def path(self, key: str, folder: bool = False) -> Path:
        """An existing file (or folder): absolute, or relative to the YAML file and below its folder."""
        text = self.text(key)
        if "\0" in text:
            raise self.error(key, f"{text!r} is not a path")
        path = Path(text).expanduser()
        if not path.is_absolute():
            path = self.file.parent / path
            if not Path(os.path.normpath(path)).is_relative_to(os.path.normpath(self.file.parent)):
                raise self.error(key, f"{text!r} leads out of the folder of this file; write an absolute path")
        if not (path.is_dir() if folder else path.is_file()):
            kind = "folder" if folder else "file"
            raise self.error(key, f"no such {kind}: {path} (paths are relative to the YAML file)")
        return path

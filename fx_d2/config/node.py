"""Detectron2's configuration node with safe files and messages for people."""

from __future__ import annotations

import ast
import copy
import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode

from .safe_yaml import parse_yaml

BASE = "_BASE_"
# How a type is called in a message.
_KINDS = {bool: "True or False", int: "a whole number", float: "a number", str: "text", list: "a list", tuple: "a list"}


class Config(CfgNode):
    """A Detectron2 configuration that a stranger's file cannot make run code.

    ``merge_from_file`` and ``merge_from_list`` behave as Detectron2's do, apart from this: YAML tags that build Python
    objects are refused (Detectron2 evaluates them); an unknown key comes with the nearest known one; a whole number
    is taken where a number is needed, and text that looks like a number where text is needed; every mistake is a
    ValueError of one line.
    """

    def merge_from_file(self, cfg_filename: str | Path, allow_unsafe: bool = False) -> None:
        """Merges a YAML file, after the files that its ``_BASE_`` names.

        Raises:
            ValueError: the file is missing or not valid, or a key or value is; the message names file and key.
        """
        if allow_unsafe:
            raise ValueError("allow_unsafe: configurations that run code are not supported")
        for path, tree in _with_bases(Path(cfg_filename), ()):
            self._merge_tree(tree, str(path))

    def merge_from_text(self, text: str, source: str) -> None:
        """Merges YAML without a ``_BASE_``; ``source`` names it in messages.

        Raises:
            ValueError: as :meth:`merge_from_file`.
        """
        tree = parse_yaml(source, text)
        if not isinstance(tree, dict):
            raise ValueError(f"{source}: a configuration is a mapping of keys, not {_short(tree)}")
        self._merge_tree(tree, source)

    def merge_from_list(self, cfg_list: Sequence[Any]) -> None:
        """Merges ``[key, value, key, value, ...]``, as a command line gives them.

        Raises:
            ValueError: a value is missing, or a key or value is wrong.
        """
        if len(cfg_list) % 2:
            raise ValueError(f"configuration pairs: {cfg_list[-1]!r} has no value; write KEY VALUE KEY VALUE ...")
        for key, value in zip(cfg_list[::2], cfg_list[1::2], strict=True):
            tree: Any = value
            for part in reversed(str(key).split(".")):
                tree = {part: tree}
            self._merge_tree(tree, "configuration pairs")

    def _merge_tree(self, tree: Mapping, source: str) -> None:
        if self.is_frozen():
            raise AttributeError("the configuration is frozen")
        _merge(self, tree, source, "", self)


def _with_bases(path: Path, children: tuple[Path, ...]) -> Iterator[tuple[Path, dict]]:
    """(file, content) of a file's bases, then of the file; a later one overrides."""
    path = path.expanduser().absolute()
    if path in children:
        raise ValueError(f"{children[-1]}: {BASE}: {path} is a base of itself")
    tree = parse_yaml(path)
    if not isinstance(tree, dict):
        raise ValueError(f"{path}: a configuration is a mapping of keys, not {_short(tree)}")
    bases = tree.pop(BASE, [])
    for base in [bases] if isinstance(bases, str) else bases or []:
        if not isinstance(base, str) or "://" in base:
            raise ValueError(f"{path}: {BASE}: {_short(base)} is not a file on disk")
        yield from _with_bases(path.parent / Path(base).expanduser(), (*children, path))
    yield path, tree


def _merge(node: CfgNode, tree: Mapping, source: str, prefix: str, root: CfgNode) -> None:
    for key, value in tree.items():
        full = f"{prefix}{key}"
        if key not in node:
            raise ValueError(f"{source}: unknown key {full!r}{_nearest(full, root)}")
        known = node[key]
        if not isinstance(known, CfgNode):
            node[key] = _fit(value, known, f"{source}: {full}")
        elif isinstance(value, Mapping):
            _merge(node[key], value, source, f"{full}.", root)
        else:
            raise ValueError(f"{source}: {full} is a group of keys ({', '.join(known)}), it has no value of its own")


def _fit(value: Any, known: Any, where: str) -> Any:
    """A value in the type of the one it replaces."""
    if isinstance(value, str) and not isinstance(known, str):
        value = _literal(value, where)
    elif isinstance(value, str) and value[:1] in ("'", '"'):
        decoded = _literal(value, where)  # a quoted text on the command line
        value = decoded if isinstance(decoded, str) else value
    if isinstance(known, float) and type(value) is int:
        try:
            return float(value)
        except OverflowError:
            raise ValueError(f"{where}: {_short(value)} is too large") from None
    if isinstance(known, list | tuple) and isinstance(value, list | tuple):
        return type(known)(copy.deepcopy(value))
    if known is None or value is None or type(value) is type(known):
        return value
    kind = _KINDS.get(type(known), type(known).__name__)
    raise ValueError(f"{where} must be {kind} (such as {known!r}), not {_short(value)}")


def _literal(text: str, where: str) -> Any:
    """Text as a Python literal, or itself where it is none."""
    try:
        return ast.literal_eval(text)
    except (RecursionError, MemoryError):
        raise ValueError(f"{where}: the value is nested too deeply") from None
    except (ValueError, SyntaxError, TypeError):
        return text


def _nearest(full: str, root: CfgNode) -> str:
    parts = [key.split(".") for key in flatten(root)]
    keys = list(dict.fromkeys(".".join(part[:end]) for part in parts for end in range(1, len(part) + 1)))  # groups, too
    # A misplaced key, too: CYCLE.COUNT instead of FX.CYCLE.COUNT.
    ends = [key for key in keys if key.casefold().endswith(f".{full.casefold()}")]
    folded = {key.casefold(): key for key in keys}
    close = ends or [folded[key] for key in difflib.get_close_matches(full.casefold(), folded, n=1)]
    return f"; did you mean {close[0]!r}?" if close else "; every key is explained in fx_d2/config/defaults.py"


def flatten(tree: Mapping, prefix: str = "") -> dict[str, Any]:
    """Values by dotted key, such as ``SOLVER.BASE_LR``, of a configuration or of the mapping that it was dumped to."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."

"""YAML files as plain values: no tag of a stranger runs code, no key is lost because it is written twice."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import yaml


class _RepeatedKey(yaml.YAMLError):
    def __init__(self, key: str, mark: yaml.Mark) -> None:
        super().__init__(f"{mark.name}, line {mark.line + 1}: key {key!r} is written twice")


class _Loader(yaml.SafeLoader):
    """Refuses a key that is written twice; plain YAML keeps the last one silently."""

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key_node, _ in node.value:
            if isinstance(key_node, yaml.ScalarNode) and key_node.tag != "tag:yaml.org,2002:merge":
                if key_node.value in seen:
                    raise _RepeatedKey(key_node.value, key_node.start_mark)
                seen.add(key_node.value)
        return super().construct_mapping(node, deep)


def parse_yaml(path: str | Path, text: str | None = None) -> Any:
    """The content of a YAML file: mappings, lists, text, numbers, true, false, null (and dates).

    ``text``: YAML that a file of another kind holds; ``path`` then only names it.

    Raises:
        ValueError: the file is missing or no text in UTF-8, its syntax is bad, a key is written twice, or a tag asks
            for a Python object; the message names the file and the line.
    """
    try:
        with io.StringIO(text) if text is not None else Path(path).open(encoding="utf-8-sig") as stream:
            return yaml.load(stream, Loader=_Loader)  # a SafeLoader: plain values only
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except _RepeatedKey as error:
        raise ValueError(str(error)) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ValueError(f"{path}{line}: not valid YAML: {problem}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read as text in UTF-8: {error}") from None
    except RecursionError:
        raise ValueError(f"{path}: not valid YAML: nested too deeply") from None
    # A scalar that looks like a number or a date and is none, such as 2021-99-99, or an odd tag such as !!int [].
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        raise ValueError(f"{path}: not valid YAML: {error}") from None

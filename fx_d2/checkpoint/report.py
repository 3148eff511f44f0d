"""What became of every tensor when weights were loaded: no line of it can mislead."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from tabulate import tabulate

LOADED, RESIZED, MISSING, UNUSED = "loaded", "resized", "missing", "unused"

_COMPONENTS = (
    (r"backbone\.", "backbone"),
    (r"heads\.cls\.norm", "classification norm"),
    (r"heads\.cls\.branches\.(\w+)", "classification layer {}"),
    (r"heads\.box\.(norms|input_proj|level_embed)", "box norms and input projection"),
    (r"heads\.box\.encoder", "box encoder"),
    (r"heads\.box\.(?:decoders|selectors|memory_projections)\.(\w+)", "box decoder {}"),
    (r"heads\.box\.branches\.(\w+)", "box heads and queries {}"),
    (r"heads\.mask\.(pooling|pyramid)", "mask pooling and pyramid"),
    (r"heads\.mask\.branches\.(\w+)", "mask layer {}"),
)


def component(name: str) -> str:
    """The part of the network that a tensor of ours belongs to."""
    for pattern, title in _COMPONENTS:
        found = re.match(pattern, name)
        if found:
            return title.format(*found.groups())
    return "other"


def source_component(key: str) -> str:
    """The part of a foreign file that a tensor belongs to: the head of its name, numbers masked."""
    parts = re.sub(r"\d+", "*", key).split(".")[:-1]
    return ".".join(parts[: 4 if parts[:1] == ["transformer"] else 3]) or key


@dataclass
class LoadReport:
    """One row a tensor: ours with (name, status, parameters, remark), or of the file and unused.

    Attributes:
        origin, layout, part: the file, what it was taken for, and which of its networks was read.
        rows: of our tensors: name -> (loaded, resized or missing; number of values; remark).
        unused: of the file: key -> (number of values, why).
    """

    origin: str
    layout: str
    part: str
    rows: dict[str, tuple[str, int, str]] = field(default_factory=dict)
    unused: dict[str, tuple[int, str]] = field(default_factory=dict)

    def names(self, *status: str) -> list[str]:
        """Our tensors with one of these statuses."""
        return [name for name, row in self.rows.items() if row[0] in status]

    def share(self, prefix: str) -> float:
        """Share of the values below a name that the file gave, 0..1; 1 where there are none."""
        rows = [row for name, row in self.rows.items() if name.startswith(prefix)]
        total = sum(count for _, count, _ in rows)
        return sum(count for status, count, _ in rows if status != MISSING) / total if total else 1.0

    def table(self) -> str:
        """Tensors and parameters of every component by status, then what the file has beyond it, with the reason."""
        parts: dict[str, dict[str, list[int]]] = {}
        for name, (status, count, _) in self.rows.items():
            parts.setdefault(component(name), {}).setdefault(status, []).append(count)
        columns = (LOADED, RESIZED, MISSING)
        body = [[title, *(_cell(cells.get(c, [])) for c in columns)] for title, cells in parts.items()]
        body.append(["total", *(_cell([n for s, n, _ in self.rows.values() if s == c]) for c in columns)])
        text = f"{self.origin}: {self.layout}, {self.part}\ntensors (parameters)\n"
        text += tabulate(body, ["component", *columns], colalign=("left", *["right"] * 3), disable_numparse=True)
        return text + self._unused_table()

    def _unused_table(self) -> str:
        if not self.unused:
            return "\nunused tensors of the file: none"
        groups: dict[tuple[str, str], list[int]] = {}
        for key, (count, why) in self.unused.items():
            groups.setdefault((source_component(key), why), []).append(count)
        body = [[title, _cell(counts), why] for (title, why), counts in sorted(groups.items())]
        body.append(["total", _cell([count for count, _ in self.unused.values()]), ""])
        return "\n" + tabulate(body, ["of the file", UNUSED, "why"], disable_numparse=True)

    def summary(self) -> str:
        """One line."""
        counts = [f"{len(self.names(status))} {status}" for status in (LOADED, RESIZED, MISSING)]
        return f"{self.origin} ({self.layout}, {self.part}): {', '.join(counts)}, {len(self.unused)} unused tensors"


def _cell(counts: Iterable[int]) -> str:
    counts = list(counts)
    return f"{len(counts)} ({sum(counts):,})" if counts else "-"

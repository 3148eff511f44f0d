"""Heads that mean the same finding, read together: which classes those are, and how far their scores agree."""

from __future__ import annotations

import logging
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..data.builtin import builtin_records
from ..data.errors import DataError, nearest
from ..data.yaml_section import Section, read_section
from ..modeling.heads.contract import UnitClasses
from ..schedule import Unit

logger = logging.getLogger(__name__)

# The mapping that the package brings along.
SHIPPED = Path(__file__).with_name("findings.yaml")


@dataclass
class Finding:
    """One finding of one image, over all heads that know it. Scores are 0..1.

    Attributes:
        name: of the finding; ``CLASS (DATASET)`` for a class that the mapping does not name.
        heads: score of each image-level head, by unit.
        boxes: highest score of a box of each box head, 0 where it gives none.
        masks: highest score of an instance of each mask head, 0 where no pixel is inside.
        calls: whether each image-level head calls it, of the heads with an operating point.
    """

    name: str
    heads: dict[str, float] = field(default_factory=dict)
    boxes: dict[str, float] = field(default_factory=dict)
    masks: dict[str, float] = field(default_factory=dict)
    calls: dict[str, bool] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Number of image-level heads."""
        return len(self.heads)

    @property
    def mean(self) -> float | None:
        """Mean score of the image-level heads, None without one: boxes and masks give no probability of a finding."""
        return statistics.fmean(self.heads.values()) if self.heads else None

    @property
    def spread(self) -> float | None:
        """Standard deviation of those scores (of the heads themselves, divisor ``count``): 0 means they agree."""
        return statistics.pstdev(self.heads.values()) if self.heads else None

    @property
    def low(self) -> float | None:
        return min(self.heads.values(), default=None)

    @property
    def high(self) -> float | None:
        return max(self.heads.values(), default=None)

    @property
    def called(self) -> int | None:
        """Number of image-level heads that call it, None where none has an operating point."""
        return sum(self.calls.values()) if self.calls else None


class FindingMap:
    """(dataset, class) -> finding.

    Args:
        findings: by finding, the class names of each dataset.
        source: where they are written, for messages.
    """

    def __init__(self, findings: Mapping[str, Mapping[str, tuple[str, ...]]], source: str = "findings") -> None:
        self.findings = {name: dict(datasets) for name, datasets in findings.items()}
        self.source = source
        self._names: dict[tuple[str, str], str] = {}
        for name, datasets in self.findings.items():
            for dataset, classes in datasets.items():
                for label in classes:
                    other = self._names.setdefault((dataset, label), name)
                    if other != name:
                        raise DataError(
                            f"{source}: class {label!r} of {dataset} stands under {other!r} and under {name!r}; "
                            "it can mean one finding only"
                        )

    @classmethod
    def load(cls, path: str | Path | None = None) -> FindingMap:
        """Reads a mapping; without a path the one that comes with the package (:data:`SHIPPED`).

        Raises:
            DataError: the file is missing or wrong; the message names the key.
        """
        path = Path(path) if path else SHIPPED
        if not path.is_file():
            raise DataError(f"file of findings {str(path)!r} is not there")
        table = read_section(path, "findings")
        findings = {}
        for name in table.values:
            section = table.child(name, None)
            findings[name] = {dataset: _class_names(section, dataset) for dataset in section.values}
        return cls(findings, str(path))

    def name(self, dataset: str, label: str) -> str:
        """The finding that a dataset's class means, else the class as itself: ``CLASS (DATASET)``."""
        return self._names.get((dataset, label), f"{label} ({dataset})")

    def check(self, classes: Mapping[Unit, UnitClasses]) -> None:
        """Finds slips of the pen: a class named for a dataset must be one of the network's or a published one.

        Of a dataset that is not published the network may hold some tasks only; there a strange class is a warning.

        Raises:
            DataError: names the class and the nearest that exists.
        """
        records = builtin_records({}).values()
        published = {r.name: {label for task in r.tasks.values() for label in task.classes} for r in records}
        known: dict[str, set[str]] = {name: set(labels) for name, labels in published.items()}
        for unit, its in classes.items():
            known.setdefault(unit.dataset, set()).update(its.names)
        for dataset, label in self._names:
            if label in known.get(dataset, (label,)):
                continue  # one of its classes, or a dataset of another network: a mapping may serve several
            text = (
                f"{self.source}: {self.name(dataset, label)}: {dataset} has no class {label!r}; "
                f"{nearest(label, sorted(known[dataset]), 'classes')}"
            )
            if dataset in published:
                raise DataError(text)
            if self.source != str(SHIPPED):
                logger.warning(text)

    def table(self, classes: Mapping[Unit, UnitClasses]) -> dict[str, dict[str, list[str]]]:
        """By finding, the classes of each unit of a network that mean it; unmapped classes come last."""
        order = {name: position for position, name in enumerate(self.findings)}
        rows: dict[str, dict[str, list[str]]] = {}
        for unit, its in classes.items():
            for label in its.names:
                rows.setdefault(self.name(unit.dataset, label), {}).setdefault(str(unit), []).append(label)
        return dict(sorted(rows.items(), key=lambda row: order.get(row[0], len(order))))

    def join(
        self,
        classes: Mapping[Unit, UnitClasses],
        outputs: Mapping[Unit, Mapping],
        calls: Mapping[Unit, Mapping[str, bool | None]] | None = None,
    ) -> list[Finding]:
        """The findings of one image, in the order of :meth:`table`.

        Where several classes of one head mean one finding, the highest of their scores counts, and the head calls it
        where it calls any of them.

        Args:
            classes: of the units. outputs: what the heads gave for the image, by unit.
            calls: called or not by image-level unit and class, None where no operating point can say.
        """
        rows = {name: Finding(name) for name in self.table({unit: classes[unit] for unit in outputs})}
        for unit, output in outputs.items():
            names, scores = classes[unit].names, _image_scores(unit, output, len(classes[unit].names))
            for label, score in zip(names, scores, strict=True):
                finding = rows[self.name(unit.dataset, label)]
                column = {"cls": finding.heads, "box": finding.boxes, "mask": finding.masks}[unit.task]
                column[str(unit)] = max(score, column.get(str(unit), 0.0))
        for unit, its in (calls or {}).items():
            for label in (label for label, called in its.items() if called is not None):
                known = rows[self.name(unit.dataset, label)].calls
                known[str(unit)] = its[label] or known.get(str(unit), False)
        return list(rows.values())


def _class_names(section: Section, dataset: str) -> tuple[str, ...]:
    value = section.values[dataset]
    return section.distinct(dataset, value if isinstance(value, list) else [value])


def _image_scores(unit: Unit, output: Mapping, count: int) -> list[float]:
    """One score a class: the head's own, or that of its best box or instance."""
    if unit.task == "cls":
        return output["scores"].tolist()
    best = [0.0] * count
    instances = output["instances"]
    for label, score in zip(instances.pred_classes.tolist(), instances.scores.tolist(), strict=True):
        best[label] = max(best[label], score)
    return best

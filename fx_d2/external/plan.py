"""The file of an external validation: which truth each head is held against, class by class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..config import find_config_file
from ..data.errors import DataError, nearest
from ..data.records import DatasetRecord
from ..data.yaml_section import Section, read_section
from ..modeling.heads.contract import UnitClasses
from ..schedule import Unit


@dataclass(frozen=True)
class Pairing:
    """The truth of one unit of a dataset and the head that is held against it.

    Attributes:
        truth: dataset and task of the truth. head: unit of the network, of the same task.
        classes: by class of the truth the classes of the head that mean it: findings and masks take the highest of
            their probabilities at every place, boxes of any of them count. Classes of the truth that are not named are
            not scored.
        place: file and key, for messages.
    """

    truth: Unit
    head: Unit
    classes: Mapping[str, tuple[str, ...]]
    place: str

    def check(self, datasets: Mapping[str, DatasetRecord], heads: Mapping[Unit, UnitClasses]) -> None:
        """Raises DataError: there is no such dataset, task, head or class."""
        dataset, task = self.truth.dataset, self.truth.task
        if dataset not in datasets:
            raise DataError(f"{self.place}: no dataset {dataset!r}; {nearest(dataset, datasets, 'datasets')}")
        if task not in datasets[dataset].tasks:
            raise DataError(f"{self.place}: {dataset} has no {task}; it has {', '.join(datasets[dataset].tasks)}")
        if self.head not in heads:
            near = nearest(self.head, map(str, heads), "units")
            raise DataError(f"{self.place}.head: the network has no unit {str(self.head)!r}; {near}")
        named = {self.truth: list(self.classes), self.head: [name for names in self.classes.values() for name in names]}
        known = {self.truth: datasets[dataset].tasks[task].classes, self.head: heads[self.head].names}
        for unit, names in named.items():
            for name in names:
                if name not in known[unit]:
                    near = nearest(name, known[unit], "classes")
                    raise DataError(f"{self.place}.classes: {unit} has no class {name!r}; {near}")


@dataclass(frozen=True)
class Plan:
    """``files`` declare the datasets of the pairings."""

    title: str
    files: tuple[str, ...]
    pairings: tuple[Pairing, ...]

    @classmethod
    def load(cls, name: str) -> Plan:
        """From a YAML file, or the packaged one of that name; configs/external/synthetic.yaml is an example.

        Raises:
            ValueError: there is no such file. DataError: a key or value is wrong.
        """
        section = read_section(Path(find_config_file(name)), "external", ("title", "files", "scores"), ("scores",))
        scores = section.child("scores", None)
        return cls(
            section.text("title", "External validation"),
            section.names("files") or (),
            tuple(_parse_pairing(scores, unit) for unit in scores.values),
        )


def _parse_pairing(scores: Section, name: str) -> Pairing:
    truth = _parse_unit(scores, name, name)
    section = scores.child(name, ("head", "classes"), ("head", "classes"))
    head = _parse_unit(section, "head", section.text("head"))
    if head.task != truth.task:
        raise section.error("head", f"{head} is of another task than {truth}")
    classes = section.child("classes", None)
    named = {}
    for label, value in classes.values.items():
        several = classes.names(label) if isinstance(value, list) else None
        named[label] = several or (classes.text(label),)
    return Pairing(truth, head, named, section.place)


def _parse_unit(section: Section, key: str, text: str) -> Unit:
    try:
        return Unit.parse(text)
    except ValueError as error:
        raise section.error(key, str(error)) from None

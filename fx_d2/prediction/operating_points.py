"""Which findings are called: the operating points that an evaluation chose, applied to the scores of an image.

They are never looked for: ``thresholds.json`` does not say which weights were evaluated, and a run has several.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..checkpoint.load import shorten
from ..data.errors import DataError, count, nearest
from ..modeling.heads.contract import UnitClasses
from ..schedule import Unit
from .weights import MODELS

_EXCLUSIVE = "the classes exclude each other: the one with the highest score is called"
_ABSENT = "the file has none"
# How a source begins where nothing could choose the threshold (fx_d2/evaluation/operating.py).
_DEFAULT = "default"


@dataclass(frozen=True)
class OperatingPoint:
    """Of one class.

    Attributes:
        threshold: the finding is called where score >= threshold, 0..1. None: no threshold calls it.
        source: where the threshold comes from, or why there is none.
    """

    threshold: float | None
    source: str


# Of a network: by image-level unit, every class in the order of its outputs.
UnitPoints = Mapping[Unit, Mapping[str, OperatingPoint]]
# Of one unit on one image: called or not by class, None where no operating point can say.
Calls = dict[str, bool | None]


class OperatingPoints:
    """The operating points of a file.

    Args:
        models: by model, dataset and class.
        source: the file, for messages.
    """

    def __init__(self, models: Mapping[str, Mapping[str, Mapping[str, OperatingPoint]]], source: str) -> None:
        self.models, self.source = models, source

    @classmethod
    def load(cls, path: str | Path) -> OperatingPoints:
        """Reads ``{model: {dataset: {class: {"threshold": t, "source": text}}}}``, the ``thresholds.json`` of a run.

        Raises:
            DataError: the file is missing or wrong; the message names it and the entry.
        """
        path = Path(path)
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "is not there"
            raise DataError(f"file of operating points {str(path)!r} {what}")
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DataError(f"{path}: not valid JSON ({error})") from None
        if stored == {}:
            raise DataError(
                f"{path}: holds no operating points; the run that wrote it had no findings to choose them for"
            )
        models: dict[str, dict[str, dict[str, OperatingPoint]]] = {}
        for model, datasets in _mapping(stored, str(path), "models").items():
            if model not in MODELS:
                raise DataError(f"{path}: unknown model {model!r}; {nearest(model, MODELS, 'models')}")
            models[model] = {}
            for dataset, points in _mapping(datasets, f"{path}: {model}", "datasets").items():
                place = f"{path}: {model}/{dataset}"
                points = _mapping(points, place, "classes")
                models[model][dataset] = {name: _point(entry, f"{place}/{name}") for name, entry in points.items()}
        return cls(models, str(path))

    def of(self, model: str, classes: Mapping[Unit, UnitClasses]) -> UnitPoints:
        """Those of a network, with an entry for every class of its image-level units.

        Args:
            model: ``teacher`` or ``student``. classes: of all units of the network.

        Raises:
            DataError: the file lacks the model, or names a dataset or class that the network does not have: it is of
                another network.
        """
        if model not in self.models:
            raise DataError(f"{self.source}: no operating points of the {model}; it has: {', '.join(self.models)}")
        stored = self.models[model]
        units = {unit.dataset: unit for unit in classes if unit.task == "cls"}
        for dataset, points in stored.items():
            place = f"{self.source}: {model}/{dataset}"
            if dataset not in units:
                raise DataError(
                    f"{place}: the network has no unit {dataset}/cls; {nearest(dataset, units, 'datasets')}"
                )
            names = classes[units[dataset]].names
            for label in points:
                if label not in names:
                    raise DataError(f"{place}: the network has no class {label!r}; {nearest(label, names, 'classes')}")
        return {unit: _of_unit(classes[unit], stored.get(dataset, {})) for dataset, unit in units.items()}


def call_findings(points: Mapping[str, OperatingPoint], classes: UnitClasses, scores: Sequence[float]) -> Calls:
    """Called or not by class; of classes that exclude each other the first with the highest score.

    Args:
        points: of the unit. classes: of the unit. scores: in their order, as the head gave them, not rounded.
    """
    if classes.exclusive:
        best = max(range(len(scores)), key=scores.__getitem__)
        return {name: k == best for k, name in enumerate(classes.names)}
    thresholds = [points[name].threshold for name in classes.names]
    return {
        name: None if threshold is None else score >= threshold
        for name, threshold, score in zip(classes.names, thresholds, scores, strict=True)
    }


def describe(points: UnitPoints, classes: Mapping[Unit, UnitClasses]) -> list[str]:
    """What is called how, in lines for people: how many classes have a threshold of their own, which have not."""
    if not points:
        return ["no unit of findings is predicted, nothing is called"]
    chosen: list[str] = []
    default: list[str] = []
    absent: list[str] = []
    for unit in (unit for unit in points if not classes[unit].exclusive):
        for name, point in points[unit].items():
            kind = absent if point.threshold is None else default if point.source.startswith(_DEFAULT) else chosen
            kind.append(f"{unit} {name}")
    lines = [f"{count(len(chosen), 'class')} called at an operating point of the file"]
    if default:
        lines.append(f"{count(len(default), 'class')} called at a default that no image chose: {shorten(default)}")
    if absent:
        lines.append(f"{count(len(absent), 'class')} without an operating point, not called: {shorten(absent)}")
    exclusive = [str(unit) for unit in points if classes[unit].exclusive]
    if exclusive:
        lines.append(f"the class with the highest score called, since they exclude each other: {', '.join(exclusive)}")
    return lines


def _of_unit(classes: UnitClasses, stored: Mapping[str, OperatingPoint]) -> dict[str, OperatingPoint]:
    if classes.exclusive:
        return {name: OperatingPoint(None, _EXCLUSIVE) for name in classes.names}
    return {name: stored.get(name, OperatingPoint(None, _ABSENT)) for name in classes.names}


def _mapping(value: Any, place: str, what: str) -> dict:
    if not isinstance(value, dict) or not value:
        raise DataError(f"{place}: {what} are needed here, not {str(value)[:60]}")
    return value


def _point(entry: Any, place: str) -> OperatingPoint:
    threshold, source = (entry.get("threshold"), entry.get("source")) if isinstance(entry, dict) else (None, None)
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not isinstance(source, str):
        raise DataError(
            f'{place}: {{"threshold": a number, "source": where it comes from}} is needed here, as thresholds.json of '
            f"an evaluation has it, not {str(entry)[:60]}"
        )
    if not 0 <= threshold <= 1:
        raise DataError(f"{place}: the threshold must lie in 0..1, not {threshold}")
    return OperatingPoint(float(threshold), source)

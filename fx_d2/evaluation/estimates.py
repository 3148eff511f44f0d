"""What is known of a number: its value, its interval, and why it is missing where it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

Metrics = dict[str, float | None]


@dataclass(frozen=True)
class Estimate:
    """One metric.

    Attributes:
        value: None where the metric is undefined.
        low, high: ends of the interval; None without one.
        method: how the interval was made, ``bootstrap over patients`` for instance.
        reason: why ``value`` is None; None where it is defined.
        count: what the value rests on: images, or true boxes for boxes; None where that says nothing.
        others: intervals of other methods, ``{"DeLong": [low, high]}``.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    method: str | None = None
    reason: str | None = None
    count: int | None = None
    others: Mapping[str, list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.value is None) != (self.reason is not None):
            raise ValueError(f"an undefined value needs a reason, a defined one has none: {self}")

    def with_interval(self, method: str, interval: list[float] | None) -> Estimate:
        """The same with the interval of another method in :attr:`others`; unchanged if it has none."""
        return self if interval is None else replace(self, others={**self.others, method: interval})

    def as_json(self) -> dict[str, Any]:
        """Without the fields that say nothing."""
        return {key: value for key, value in asdict(self).items() if key == "value" or value not in (None, {})}


@dataclass
class UnitScore:
    """All that an evaluation says about one unit.

    Attributes:
        estimates: by metric; ``metric/class`` for one class.
        extra: curves, tables and counts for the report, as JSON; the keys are described in ``docs/metrics.md``.
        replicates: bootstrap values of the metrics that have an interval; not written.
    """

    estimates: dict[str, Estimate] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    replicates: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def metrics(self) -> Metrics:
        """The values alone."""
        return {name: estimate.value for name, estimate in self.estimates.items()}


def undefined(reason: str, count: int | None = None) -> Estimate:
    return Estimate(None, reason=reason, count=count)


def mean_or_none(values: Sequence[float | None] | np.ndarray) -> float | None:
    """Mean of the defined values; None where there are none."""
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None


def with_classes(classes: Sequence[str], per_class: Mapping[str, Sequence[Estimate]]) -> dict[str, Estimate]:
    """``metric``: mean over the classes where it is defined, then ``metric/class`` for every class."""
    estimates: dict[str, Estimate] = {}
    for name, column in per_class.items():
        mean = mean_or_none([estimate.value for estimate in column])
        estimates[name] = undefined("it is undefined for every class") if mean is None else Estimate(mean)
    for index, label in enumerate(classes):
        estimates.update({f"{name}/{label}": column[index] for name, column in per_class.items()})
    return estimates

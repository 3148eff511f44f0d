"""A metric with its interval, or with the reason why it is undefined."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Metrics = dict[str, float | None]


@dataclass(frozen=True)
class Estimate:
    """One metric.

    Attributes:
        low, high, method: the bootstrap interval, if any.
        reason: why ``value`` is None; None where it is defined.
        count: what the value rests on: images, or true boxes for boxes; None for means over classes.
        analytic: intervals by a formula, ``{"DeLong": [low, high]}``.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    method: str | None = None
    reason: str | None = None
    count: int | None = None
    analytic: Mapping[str, list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.value is None) != (self.reason is not None):
            raise ValueError(f"an undefined value needs a reason, a defined one has none: {self}")

    @classmethod
    def of(cls, value: float | None, reason: str, count: int | None = None) -> Estimate:
        """The estimate of a value; None and NaN are undefined for the given reason."""
        if value is None or math.isnan(value):
            return cls(None, reason=reason, count=count)
        return cls(float(value), count=count)

    def as_json(self) -> dict[str, Any]:
        """As in ``results_details.json``; empty fields but ``value`` are left out."""
        fields = {"others" if key == "analytic" else key: value for key, value in vars(self).items()}
        return {key: value for key, value in fields.items() if key == "value" or value not in (None, {})}


@dataclass
class UnitScore:
    """All that an evaluation says about one unit.

    Attributes:
        estimates: by ``metric``, the mean over classes, and ``metric/class``.
        details: curves, tables and counts as JSON; ``docs/metrics.md`` describes the keys.
        replicates: bootstrap values of the metrics that have an interval; not written.
    """

    classes: Sequence[str]
    estimates: dict[str, Estimate] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    replicates: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def metrics(self) -> Metrics:
        """The values alone."""
        return {name: estimate.value for name, estimate in self.estimates.items()}

    def add(self, per_class: Mapping[str, Sequence[Estimate]]) -> None:
        """Adds metrics, given for every class, and their means over the classes where they are defined."""
        for metric, column in per_class.items():
            mean = mean_or_none(estimate.value for estimate in column)
            self.estimates[metric] = Estimate.of(mean, "it is undefined for every class")
        for index, name in enumerate(self.classes):
            self.estimates.update({f"{metric}/{name}": column[index] for metric, column in per_class.items()})


def mean_or_none(values: Iterable[float | None]) -> float | None:
    """Mean of the defined values; None without any."""
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None

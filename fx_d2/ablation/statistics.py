"""Paired differences over seeds: interval, p-value, Holm's correction, verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

HOLDS, REFUTED, UNDECIDED = "holds", "does not hold", "undecided at this scale"


@dataclass(frozen=True)
class Difference:
    """Mean of paired differences with a 95 % interval (Student's t).

    ``p_value``: of a two-sided t-test against the claim's threshold. ``visible``: the smallest difference that this
    many seeds of this spread would show (half the interval). None where there are fewer than two seeds.
    """

    values: tuple[float, ...]
    mean: float
    low: float | None
    high: float | None
    p_value: float | None

    @property
    def visible(self) -> float | None:
        return None if self.low is None or self.high is None else (self.high - self.low) / 2


def paired_difference(values: Sequence[float], threshold: float = 0.0, confidence: float = 0.95) -> Difference:
    """``values``: one difference per seed."""
    x = np.asarray(values, dtype=np.float64)
    n, mean = len(x), float(x.mean())
    if n < 2:
        return Difference(tuple(map(float, x)), mean, None, None, None)
    error = float(x.std(ddof=1)) / math.sqrt(n)
    half = float(stats.t.ppf(0.5 + confidence / 2, n - 1)) * error
    if error > 0:
        p_value = float(2 * stats.t.sf(abs(mean - threshold) / error, n - 1))
    else:
        p_value = 0.0 if mean != threshold else 1.0
    return Difference(tuple(map(float, x)), mean, mean - half, mean + half, p_value)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjusted p-values (Holm, Scandinavian Journal of Statistics 1979); None stays and does not count."""
    known = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, i) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * p))
        adjusted[i] = largest
    return adjusted


def verdict(difference: Difference, adjusted: float | None, at_least: float, margin: float, level: float = 0.05) -> str:
    """Holds: surely above ``at_least`` after the correction. Does not hold: the interval ends below it + ``margin``."""
    if adjusted is None or difference.high is None:
        return UNDECIDED
    if difference.mean > at_least and adjusted < level:
        return HOLDS
    return REFUTED if difference.high < at_least + margin else UNDECIDED


def seeds_needed(difference: Difference, effect: float, confidence: float = 0.95) -> int | None:
    """Seeds until half the interval is ``effect``, if the spread stays as it is; None if it is not known."""
    if len(difference.values) < 2:
        return None
    spread = float(np.std(difference.values, ddof=1))
    n = 2
    while n < 10_000 and stats.t.ppf(0.5 + confidence / 2, n - 1) * spread / math.sqrt(n) > effect:
        n += 1
    return n

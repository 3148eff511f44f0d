"""Intervals by drawing patients with replacement.

Images of one patient resemble each other, so that patients and not images are drawn (Efron and Tibshirani, An
Introduction to the Bootstrap, 1993; for clustered data Field and Welsh, JRSS B 69, 2007). A replicate is a weight per
image: how often its patient was drawn. Every statistic is a function of weights: nothing is copied or sorted again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np

from .estimates import UnitScore
from .tables import Options

METHOD = "bootstrap over patients"
# Weights held at a time: they and what is made of them fit into a processor's cache, which halves the time.
_CHUNK = 300_000

# (replicates, images) weights -> (replicates, statistics) values, NaN where one is undefined.
Statistic = Callable[[np.ndarray], np.ndarray]


def replicates(patients: np.ndarray, count: int, seed: int) -> Iterator[np.ndarray]:
    """Weights of ``count`` replicates in chunks.

    Args:
        patients: (N,) number of each image's patient, 0..P-1.

    Yields:
        (b, N) int16. The draws depend on P, ``count`` and ``seed`` alone: two models over the same patients get the
        same replicates, which makes differences between them paired.
    """
    total = int(patients.max()) + 1
    rng = np.random.default_rng(seed)
    step = max(1, _CHUNK // len(patients))
    for start in range(0, count, step):
        rows = min(step, count - start)
        drawn = rng.integers(0, total, size=(rows, total), dtype=np.int64)
        drawn += total * np.arange(rows)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * total).reshape(rows, total)
        yield np.take(times.astype(np.int16), patients, axis=1)


def bootstrap(statistic: Statistic, patients: np.ndarray, options: Options) -> np.ndarray:
    """-> (options.bootstraps, S) values of the statistic; (0, S) without bootstraps."""
    chunks = [statistic(weights) for weights in replicates(patients, options.bootstraps, options.seed)]
    return np.concatenate(chunks) if chunks else statistic(np.ones((1, len(patients)), np.int16))[:0]


def percentiles(values: np.ndarray, confidence: float) -> tuple[float, float] | None:
    """The percentile interval of the defined replicates; None where there are none."""
    defined = values[~np.isnan(values)]
    if not len(defined):
        return None
    low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def add_intervals(score: UnitScore, drawn: Mapping[str, np.ndarray], confidence: float) -> None:
    """Gives every estimate the interval of its replicates, and keeps these; what is undefined stays as it is."""
    for name, values in drawn.items():
        estimate = score.estimates[name]
        interval = None if estimate.value is None else percentiles(values, confidence)
        if interval is not None:
            low, high = interval
            score.estimates[name] = replace(estimate, low=low, high=high, method=METHOD)
            score.replicates[name] = values


def mean_over_classes(values: np.ndarray, defined: np.ndarray) -> np.ndarray:
    """(b, K) replicates of classes -> (b,) their means over the classes that are defined.

    A class that is undefined in a replicate (none of its few positive patients was drawn) is left out of that
    replicate's mean.

    Args:
        defined: (K,) bool, the classes that the estimate itself averages.
    """
    chosen = values[:, defined]
    known = ~np.isnan(chosen)
    counts = known.sum(axis=1)
    sums = np.where(known, chosen, 0.0).sum(axis=1)
    return np.divide(sums, counts, out=np.full(len(values), np.nan), where=counts > 0)


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, NaN where the whole is 0."""
    part, whole = np.broadcast_arrays(np.asarray(part, np.float64), np.asarray(whole, np.float64))
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)

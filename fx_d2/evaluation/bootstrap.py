"""Intervals by drawing patients with replacement.

Images of one patient resemble each other, so that patients and not images are drawn (Efron and Tibshirani, An
Introduction to the Bootstrap, 1993; for clustered data Field and Welsh, JRSS B 69, 2007). A replicate is a weight per
image: how often its patient was drawn. Every statistic is a function of weights: nothing is copied or sorted again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from .estimates import UnitScore
from .tables import Options

METHOD = "bootstrap over patients"
# Weights held at a time: they and what is made of them fit into a processor's cache, which halves the time.
_CHUNK = 300_000


class Statistic(Protocol):
    """Image weights (b, N) -> metrics (b, len(names)), NaN where undefined."""

    names: list[str]

    def __call__(self, weights: np.ndarray, /) -> np.ndarray: ...


def replicates(patients: np.ndarray, count: int, seed: int) -> Iterator[np.ndarray]:
    """Weights of ``count`` replicates, in chunks (b, N) int16; ``patients`` (N,) is each image's patient, 0..P-1.

    They depend on P, ``count`` and ``seed`` alone: two models over the same patients get the same replicates, which
    makes differences between them paired.
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


def percentile_interval(values: np.ndarray, confidence: float) -> dict[str, Any]:
    """``low``, ``high`` and ``method`` of the interval over the defined replicates; empty without any."""
    defined = values[~np.isnan(values)]
    if not len(defined):
        return {}
    low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
    return {"low": float(low), "high": float(high), "method": METHOD}


def add_bootstrap_intervals(
    score: UnitScore,
    statistic: Statistic,
    patients: np.ndarray,
    options: Options,
    subsets: Mapping[str, Sequence[int]] | None = None,
) -> None:
    """Gives the metrics of the statistic and their means over classes an interval, and keeps the replicates.

    Args:
        subsets: name -> positions of the classes of a further mean, where the score has ``metric_name``.
    """
    if not options.bootstraps:
        return
    chunks = [statistic(weights) for weights in replicates(patients, options.bootstraps, options.seed)]
    samples = dict(zip(statistic.names, np.concatenate(chunks).T, strict=True))
    for metric in dict.fromkeys(name.partition("/")[0] for name in statistic.names if "/" in name):
        columns = [f"{metric}/{name}" for name in score.classes]
        values = np.stack([samples[column] for column in columns], axis=1)
        defined = np.array([score.estimates[column].value is not None for column in columns])
        samples[metric] = mean_over_classes(values, defined)
        for name, members in (subsets or {}).items():
            if f"{metric}_{name}" in score.estimates:
                inside = np.isin(np.arange(len(score.classes)), members)
                samples[f"{metric}_{name}"] = mean_over_classes(values, inside & defined)
    for name, sample in samples.items():
        interval = percentile_interval(sample, options.confidence)
        if interval and score.estimates[name].value is not None:
            score.estimates[name] = replace(score.estimates[name], **interval)
            score.replicates[name] = sample


def mean_over_classes(values: np.ndarray, defined: np.ndarray) -> np.ndarray:
    """(b, K) replicates of classes -> (b,) means over the classes that the estimate averages, ``defined`` (K,).

    A class that is undefined in a replicate (no positive patient was drawn) is left out of that replicate's mean.
    """
    values = values[:, defined]
    valid = ~np.isnan(values)
    return ratio(np.where(valid, values, 0.0).sum(axis=1), valid.sum(axis=1))


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, NaN where the whole is 0."""
    part, whole = np.broadcast_arrays(np.asarray(part, np.float64), np.asarray(whole, np.float64))
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)

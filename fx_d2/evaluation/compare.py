"""Paired comparison of two models, or of two runs, on the same images."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..data.errors import DataError
from .bootstrap import percentile_interval
from .estimates import UnitScore
from .roc import delong_p
from .tables import BoxTable, FindingTable, MaskTable, Options, Table


def compare(
    first: UnitScore, second: UnitScore, tables: tuple[Table, Table], options: Options, unit: str = "unit"
) -> dict[str, dict[str, Any]]:
    """The difference, first minus second, of every metric that both have.

    Both were scored with the same seed over the same patients, so that their replicates and differences are paired.

    Returns:
        by metric: ``first``, ``second``, ``difference``, ``low``, ``high``, ``p_value`` (two-sided, bootstrap), and for
        ``AUROC/{class}`` ``delong_p_value``. Where one of them is undefined, ``difference`` is None for a ``reason``.

    Raises:
        DataError: images, patients, classes or truth differ.
    """
    _check_same_truth(*tables, unit)
    rows = {name: _difference(first, second, name, options) for name in first.estimates if name in second.estimates}
    left, right = tables
    if isinstance(left, FindingTable) and isinstance(right, FindingTable):
        for index, name in enumerate(left.classes):
            row = rows[f"AUROC/{name}"]
            if row["difference"] is not None:
                row["delong_p_value"] = delong_p(*left.known_labels(index), right.known_labels(index)[1])
    return rows


def _difference(first: UnitScore, second: UnitScore, metric: str, options: Options) -> dict[str, Any]:
    a, b = first.estimates[metric], second.estimates[metric]
    row: dict[str, Any] = {"first": a.value, "second": b.value, "difference": None}
    if a.value is None or b.value is None:
        return {**row, "reason": a.reason or b.reason}
    row["difference"] = a.value - b.value
    if metric in first.replicates and metric in second.replicates:
        differences = first.replicates[metric] - second.replicates[metric]
        if interval := percentile_interval(differences, options.confidence):
            row.update(interval, p_value=bootstrap_p(differences))
    return row


def bootstrap_p(differences: np.ndarray) -> float:
    """Two-sided p-value of no difference: twice the smaller share of replicates on either side of 0.

    Counting the observation itself among the replicates (Davison and Hinkley, Bootstrap Methods, 1997, section 4.2)
    keeps it above 0.
    """
    differences = differences[~np.isnan(differences)]
    smaller = min((differences <= 0).sum(), (differences >= 0).sum())
    return float(min(1.0, 2 * ((1 + smaller) / (1 + len(differences)))))


def _check_same_truth(first: Table, second: Table, unit: str) -> None:
    if first.classes != second.classes:
        raise DataError(f"{unit}: the classes differ: {', '.join(first.classes)} and {', '.join(second.classes)}")
    keys = [[(row.image_id, row.patient_id) for row in table.images] for table in (first, second)]
    if keys[0] != keys[1]:
        differing = set(keys[0]) ^ set(keys[1])
        example = min(map(str, differing), default="")
        reason = f"{len(differing)} differ, for instance {example}" if differing else "they come in another order"
        raise DataError(f"{unit}: the two were not scored on the same images and patients ({reason})")
    if isinstance(first, FindingTable) and isinstance(second, FindingTable):
        same = np.array_equal(first.labels, second.labels, equal_nan=True)
    elif isinstance(first, BoxTable) and isinstance(second, BoxTable):
        same = np.array_equal(first.truth, second.truth)
    else:
        same = isinstance(first, MaskTable) and isinstance(second, MaskTable) and first.truth == second.truth
    if not same:
        raise DataError(f"{unit}: the two were scored against different truth; compare runs on the same data")

"""Results of a run: flat keys, strict JSON, a table, one number to choose a checkpoint by."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from tabulate import tabulate

from .estimates import mean_or_none

# {"student": {dataset: {task: {metric: value}}}, "teacher": {...}}
Results = Mapping[str, Mapping[str, Mapping[str, Mapping[str, float | None]]]]

MAIN_METRIC = {"cls": "AUROC", "box": "AP50", "mask": "Dice"}
# Columns of the table.
TABLE_METRICS = {
    "cls": ("AUROC", "AP"),
    "box": ("AP50", "AP", "AP75", "AP40"),
    "mask": ("Dice", "IoU", "Dice_all"),
}


def _units(results: Results) -> Iterator[tuple[str, str, str, Mapping[str, float | None]]]:
    """model, dataset, task, metrics."""
    for model, datasets in results.items():
        for dataset, tasks in datasets.items():
            for task, metrics in tasks.items():
                yield model, dataset, task, metrics


def flatten(results: Results) -> dict[str, float | None]:
    """Nested results as ``{model}/{dataset}/{task}/{metric}``: value."""
    return {
        f"{model}/{dataset}/{task}/{metric}": value
        for model, dataset, task, metrics in _units(results)
        for metric, value in metrics.items()
    }


def write_results(path: str | Path, results: Results) -> None:
    """Writes strict JSON with sorted keys.

    Raises:
        ValueError: a value is NaN or infinite (an undefined value must be None).
    """
    for key, value in flatten(results).items():
        if value is not None and not math.isfinite(value):
            raise ValueError(f"{key} is {value}, which JSON cannot hold; an undefined metric must be None")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=2, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")


def mean_scores(results: Results) -> dict[str, float | None]:
    """``{model}/mean``: mean over units of the main metric of their task, undefined ones left out; None if all are."""
    return {
        f"{model}/mean": mean_or_none(
            metrics.get(MAIN_METRIC[task]) for tasks in datasets.values() for task, metrics in tasks.items()
        )
        for model, datasets in results.items()
    }


def results_table(results: Results) -> str:
    """A table per task: a row per unit and, for several, a row of means; each metric for every model side by side."""
    tables = []
    for task, names in TABLE_METRICS.items():
        rows: dict[str, dict[tuple[str, str], float | None]] = {}
        for model, dataset, unit_task, metrics in _units(results):
            if unit_task == task:
                rows.setdefault(f"{dataset}/{task}", {}).update({(name, model): metrics.get(name) for name in names})
        if not rows:
            continue
        columns = [(name, model) for name in names for model in results]
        if len(rows) > 1:
            rows[f"mean {task}"] = {c: mean_or_none([row.get(c) for row in rows.values()]) for c in columns}
        body = [[unit, *(row.get(column) for column in columns)] for unit, row in rows.items()]
        headers = ["", *(f"{name}\n{model}" for name, model in columns)]
        alignment = ["left", *["right"] * len(columns)]
        tables.append(tabulate(body, headers, floatfmt=".3f", missingval="-", colalign=alignment))
    return "\n\n".join(tables)

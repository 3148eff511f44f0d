"""All scores of an evaluation, and the files in which they are kept beside ``results.json``.

results.json            values only: {model: {dataset: {task: {metric: number or null}}}}
results_details.json    by the same keys: interval, its method, reason of a null, count; curves; comparisons
results.csv             one row a metric: model, dataset, task, metric, class, value, low, high, ...
results.md              the main metrics with their intervals, by unit and by class
thresholds.json         operating points: {model: {dataset: {class: {threshold, source}}}}
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..files import write_json
from .estimates import Estimate, UnitScore
from .markdown import results_markdown
from .results import Results, write_results
from .tables import Options

FORMAT = 1
DETAILS = "results_details.json"
THRESHOLDS = "thresholds.json"
COLUMNS = [
    *("model", "dataset", "task", "metric", "class", "value", "low", "high", "method", "count", "reason"),
    *("second_low", "second_high", "second_method"),  # a further interval: DeLong's of areas, Wilson's of rates
]


@dataclass
class RunScores:
    """What one evaluation found.

    Attributes:
        split, threshold_split: what was scored, and where operating points were chosen (None: no such split).
        scores: by model, then by unit (``dataset/task``).
        thresholds: by model, then by dataset, then by class: ``{"threshold": t, "source": where it comes from}``.
        comparisons: by unit; see ``compare.py``.
        about: whatever else says how it was done (back ends, versions).
    """

    split: str
    options: Options
    threshold_split: str | None = None
    scores: dict[str, dict[str, UnitScore]] = field(default_factory=dict)
    thresholds: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    comparisons: dict[str, Any] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def results(self) -> dict[str, dict[str, dict[str, dict[str, float | None]]]]:
        """The values alone, nested as in ``results.json``."""
        results: dict = {model: {} for model in self.scores}
        for model, unit, score in self.units():
            dataset, _, task = unit.rpartition("/")
            results[model].setdefault(dataset, {})[task] = score.metrics
        return results

    def units(self) -> Iterator[tuple[str, str, UnitScore]]:
        """model, unit, score."""
        for model, units in self.scores.items():
            for unit, score in units.items():
                yield model, unit, score

    def estimates(self) -> dict[str, Estimate]:
        """By the flat keys of the results, ``{model}/{dataset}/{task}/{metric}``."""
        return {
            f"{model}/{unit}/{name}": estimate
            for model, unit, score in self.units()
            for name, estimate in score.estimates.items()
        }

    def details(self) -> dict[str, Any]:
        """The content of ``results_details.json``."""
        return {
            "format": FORMAT,
            "split": self.split,
            "threshold_split": self.threshold_split,
            "options": asdict(self.options),
            "about": self.about,
            "metrics": {key: estimate.as_json() for key, estimate in self.estimates().items()},
            "units": {f"{model}/{unit}": score.extra for model, unit, score in self.units()},
            "comparisons": self.comparisons,
        }

    def write(self, folder: str | Path) -> Results:
        """Writes all files of this module's list; returns the values.

        Raises:
            ValueError: a value is NaN or infinite.
        """
        folder, results = Path(folder), self.results
        write_results(folder / "results.json", results)
        write_json(folder / DETAILS, self.details(), sort_keys=True)
        write_json(folder / THRESHOLDS, self.thresholds, sort_keys=True)
        _write_csv(folder / "results.csv", self)
        text = results_markdown(self.split, self.options, self.scores, self.comparisons)
        (folder / "results.md").write_text(text, encoding="utf-8")
        return results


def _write_csv(path: Path, scores: RunScores) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore", restval="", lineterminator="\n")
        writer.writeheader()
        for model, unit, score in scores.units():
            dataset, _, task = unit.rpartition("/")
            for name, estimate in score.estimates.items():
                metric, _, label = name.partition("/")
                row: dict[str, Any] = {
                    "model": model,
                    "dataset": dataset,
                    "task": task,
                    "metric": metric,
                    "class": label,
                }
                second = next(iter(estimate.others.items()), None)
                if second:
                    row["second_method"], (row["second_low"], row["second_high"]) = second
                writer.writerow({**row, **estimate.as_json()})

"""Collects the tables and scores of a final evaluation, unit by unit, and writes the files of ``docs/metrics.md``."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..files import safe_cell, write_json
from .coco import back_end_name
from .compare import compare
from .estimates import Metrics, UnitScore
from .files import MANIFEST, write_manifest, write_table
from .markdown import results_markdown
from .operating import Thresholds, choose_thresholds, default_thresholds
from .results import write_results
from .tables import FindingTable, Manifest, Options, Table

FORMAT = 1
DETAILS = "results_details.json"
THRESHOLDS = "thresholds.json"
COLUMNS = [
    *("model", "dataset", "task", "metric", "class", "value", "low", "high", "method", "count", "reason"),
    *("second_low", "second_high", "second_method"),  # the analytic interval: DeLong's of areas, Wilson's of rates
]


class Recorder:
    """One final evaluation, of networks that have just been run or of predictions read from files.

    Args:
        split, threshold_split: which is scored and on which operating points are chosen. None, or the scored split
            itself: on none, since thresholds chosen on the scored images would be optimistic.
        predictions: folder into which the tables are written; None: they are not.

    Attributes:
        scores: by model, then by unit (``dataset/task``). thresholds: by model, then by dataset. comparisons: by unit.
    """

    def __init__(
        self, options: Options, split: str, threshold_split: str | None, predictions: str | Path | None = None
    ) -> None:
        self.options, self.split = options, split
        self.threshold_split = None if threshold_split == split else threshold_split
        self.predictions = None if predictions is None else Path(predictions)
        self.scores: dict[str, dict[str, UnitScore]] = {}
        self.thresholds: dict[str, dict[str, Thresholds]] = {}
        self.comparisons: dict[str, dict[str, Any]] = {}
        self.coco_back_end = back_end_name()
        self._units: dict[str, dict[str, Any]] = {}
        # The predictions of an earlier evaluation go; a folder without a manifest is not ours to empty.
        if self.predictions is not None and (self.predictions / MANIFEST).is_file():
            shutil.rmtree(self.predictions)

    def choose_thresholds(self, unit: str, tables: Mapping[str, Table]) -> None:
        """Chooses the operating points of every model by its scores on the validation images."""
        split = str(self.threshold_split)
        for model, table in tables.items():
            assert isinstance(table, FindingTable)
            thresholds = choose_thresholds(table, self.options.operating_point, split)
            self.thresholds.setdefault(model, {})[unit.rpartition("/")[0]] = thresholds
        self._add_tables(unit, split, tables)

    def thresholds_of(self, model: str, unit: str, classes: tuple[str, ...]) -> Thresholds:
        """Operating points of a unit; the default, with the reason, where none were chosen."""
        reason = f"there are no predictions for a {self.threshold_split} split"
        if self.threshold_split is None:
            reason = f"no split but {self.split}, which is scored, could choose it"
        default = default_thresholds(classes, reason)
        return self.thresholds.setdefault(model, {}).setdefault(unit.rpartition("/")[0], default)

    def add(self, unit: str, tables: Mapping[str, Table], scores: Mapping[str, UnitScore]) -> None:
        """Adds what the models (keys) reached on one unit, and compares the last with the first of them."""
        for model, score in scores.items():
            self.scores.setdefault(model, {})[unit] = score
        models = list(scores)
        first, last = models[0], models[-1]
        if first != last:
            metrics = compare(scores[last], scores[first], (tables[last], tables[first]), self.options, unit)
            self.comparisons[unit] = {"first": last, "second": first, "metrics": metrics}
        for score in scores.values():
            score.replicates.clear()  # they are large and of no further use
        self._add_tables(unit, self.split, tables)

    def _add_tables(self, unit: str, split: str, tables: Mapping[str, Table]) -> None:
        for number, (model, table) in enumerate(tables.items()):
            entry = {"classes": list(table.classes), "exclusive": getattr(table, "exclusive", False), "splits": []}
            splits = self._units.setdefault(unit, entry)["splits"]
            if split not in splits:
                splits.append(split)
            if self.predictions is not None:
                write_table(self.predictions, model, unit, split, table, truth=number == 0)

    @property
    def results(self) -> dict[str, dict[str, dict[str, Metrics]]]:
        """The values alone, nested as in ``results.json``."""
        results: dict[str, dict[str, dict[str, Metrics]]] = {}
        for model, dataset, task, score in self._unit_scores():
            results.setdefault(model, {}).setdefault(dataset, {})[task] = score.metrics
        return results

    def _unit_scores(self) -> Iterator[tuple[str, str, str, UnitScore]]:
        for model, units in self.scores.items():
            for unit, score in units.items():
                dataset, _, task = unit.rpartition("/")
                yield model, dataset, task, score

    def write(self, folder: str | Path) -> dict[str, dict[str, dict[str, Metrics]]]:
        """Writes the results into ``folder``, and the manifest of the predictions; returns the results."""
        if self.predictions is not None:
            manifest = Manifest(self.split, tuple(self.scores), self._units, self.threshold_split, self.options)
            write_manifest(self.predictions, manifest)
        folder, results = Path(folder), self.results
        write_results(folder / "results.json", results)
        units = {f"{model}/{dataset}/{task}": score for model, dataset, task, score in self._unit_scores()}
        details = {
            "format": FORMAT,
            "split": self.split,
            "threshold_split": self.threshold_split,
            "options": asdict(self.options),
            "about": {"coco": self.coco_back_end},
            "metrics": {
                f"{unit}/{metric}": estimate.as_json()
                for unit, score in units.items()
                for metric, estimate in score.estimates.items()
            },
            "units": {unit: score.details for unit, score in units.items()},
            "comparisons": self.comparisons,
        }
        write_json(folder / DETAILS, details, sort_keys=True)
        write_json(folder / THRESHOLDS, self.thresholds, sort_keys=True)
        with (folder / "results.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore", restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows({key: safe_cell(value) for key, value in row.items()} for row in self._rows())
        text = results_markdown(self.split, self.options, self.scores, self.comparisons)
        (folder / "results.md").write_text(text, encoding="utf-8")
        return results

    def _rows(self) -> Iterator[dict[str, Any]]:
        """The rows of ``results.csv``."""
        for model, dataset, task, score in self._unit_scores():
            for name, estimate in score.estimates.items():
                metric, _, label = name.partition("/")
                row = estimate.as_json()
                row.update({"model": model, "dataset": dataset, "task": task, "metric": metric, "class": label})
                for method, (low, high) in estimate.analytic.items():
                    row.update(second_method=method, second_low=low, second_high=high)
                yield row

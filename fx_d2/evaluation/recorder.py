"""Collects the tables and scores of a final evaluation, unit by unit, and writes them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from .coco import back_end_name
from .compare import compare
from .estimates import UnitScore
from .files import MANIFEST, write_manifest, write_table
from .operating import Thresholds, choose_thresholds, default_thresholds
from .results import Results
from .run_scores import RunScores
from .tables import FindingTable, Manifest, Options, Table


class Recorder:
    """The same for a network that has just been run and for predictions read from files.

    Args:
        split, threshold_split: what is scored and where operating points are chosen. None, or the split that is scored
            itself: nowhere, since thresholds chosen on the images that are scored flatter them.
        predictions: folder into which the tables are written; None: they are not.
    """

    def __init__(
        self, options: Options, split: str, threshold_split: str | None, predictions: str | Path | None = None
    ) -> None:
        about = {"coco": back_end_name()}
        self.run = RunScores(split, options, None if threshold_split == split else threshold_split, about=about)
        self.predictions = None if predictions is None else Path(predictions)
        self._units: dict[str, dict] = {}
        # Those of an earlier evaluation go; a folder of that name without a manifest is not ours to empty.
        if self.predictions is not None and (self.predictions / MANIFEST).is_file():
            shutil.rmtree(self.predictions)

    def choose_thresholds(self, unit: str, tables: Mapping[str, Table]) -> None:
        """Operating points of every model from its scores on the validation images."""
        for model, table in tables.items():
            assert isinstance(table, FindingTable)
            thresholds = choose_thresholds(table, self.run.options.operating_point, str(self.run.threshold_split))
            self.run.thresholds.setdefault(model, {})[unit.rpartition("/")[0]] = thresholds
        self._keep(unit, str(self.run.threshold_split), tables)

    def thresholds(self, model: str, unit: str, classes: tuple[str, ...]) -> Thresholds:
        """Operating points of a unit; the default, with the reason, where none were chosen."""
        known = self.run.thresholds.setdefault(model, {})
        reason = f"there are no predictions for a {self.run.threshold_split} split"
        if self.run.threshold_split is None:
            reason = f"no split but {self.run.split}, which is scored, could choose it"
        return known.setdefault(unit.rpartition("/")[0], default_thresholds(classes, reason))

    def add(self, unit: str, tables: Mapping[str, Table], scores: Mapping[str, UnitScore]) -> None:
        """Keeps what the models (keys) reached on one unit, and compares the last with the first of them."""
        for model, score in scores.items():
            self.run.scores.setdefault(model, {})[unit] = score
        models = list(scores)
        first, last = models[0], models[-1]
        if first != last:
            rows = compare(scores[last], scores[first], (tables[last], tables[first]), self.run.options, unit)
            self.run.comparisons[unit] = {"first": last, "second": first, "metrics": rows}
        for score in scores.values():
            score.replicates.clear()  # they are large and of no further use
        self._keep(unit, self.run.split, tables)

    def _keep(self, unit: str, split: str, tables: Mapping[str, Table]) -> None:
        for number, (model, table) in enumerate(tables.items()):
            about = {"classes": list(table.classes), "exclusive": getattr(table, "exclusive", False), "splits": []}
            splits = self._units.setdefault(unit, about)["splits"]
            if split not in splits:
                splits.append(split)
            if self.predictions is not None:
                write_table(self.predictions, model, unit, split, table, truth=number == 0)

    def write(self, folder: str | Path) -> Results:
        """Writes the results into ``folder`` and says in the predictions' manifest what is there."""
        if self.predictions is not None:
            run = self.run
            manifest = Manifest(run.split, tuple(run.scores), self._units, run.threshold_split, run.options)
            write_manifest(self.predictions, manifest)
        return self.run.write(folder)

"""A run's folder as the report reads it: every file may be missing, a damaged one is named."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode

from ..evaluation.files import FOLDER, MANIFEST, read_manifest
from ..evaluation.recorder import DETAILS
from ..evaluation.tables import Manifest
from .timeline import ScheduledPass

logger = logging.getLogger(__name__)

# ``run.json`` (written by :mod:`fx_d2.engine.hooks.run_record`) and the scores between units.
RECORD, RECORD_FORMAT = "run.json", 1
UNIT_SCORES = "unit_scores.jsonl"
# Iteration -> key -> value.
Rows = dict[int, dict[str, float]]


@dataclass
class Run:
    """What the files of a folder say.

    Attributes:
        cfg: the configuration of the run.
        record: ``run.json``. rows: ``metrics.json`` by iteration. results: ``results.json``, {} without one.
        details: ``results_details.json``, {} without one. unit_scores: lines of ``unit_scores.jsonl``.
        manifest: of the predictions, None without any. check: JSON of ``fx-d2 check-data``, None without one.
    """

    folder: Path
    cfg: CfgNode
    record: dict[str, Any]
    rows: Rows = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    unit_scores: list[dict[str, Any]] = field(default_factory=list)
    manifest: Manifest | None = None
    check: dict[str, Any] | None = None

    @cached_property
    def models(self) -> list[str]:
        """Those that were scored, the teacher first."""
        return sorted(self.results, key=lambda name: (name != "teacher", name))

    @property
    def shown(self) -> str:
        """The model whose plots and pictures are shown."""
        return self.models[0] if self.models else "teacher"

    @property
    def split(self) -> str:
        return self.details.get("split", self.cfg.FX.EVAL.SPLIT)

    @cached_property
    def units(self) -> list[str]:
        """In the order of the cycle; of an evaluation in the order of the configuration."""
        return list(self.cfg.FX.CYCLE.UNITS)

    @cached_property
    def passes(self) -> list[ScheduledPass]:
        """The passes of one cycle; none where the folder holds no training."""
        passes, begin = [], 0
        for entry in (self.record["schedule"] or {}).get("passes", ()):
            passes.append(ScheduledPass(entry["unit"], entry["locked"], entry["images"], begin, entry["steps"]))
            begin += entry["steps"]
        return passes

    @property
    def cycle_length(self) -> int:
        return self.passes[-1].stop if self.passes else 0

    @property
    def cycles(self) -> int:
        return self.record["schedule"]["cycles"] if self.passes else 0

    @cached_property
    def done(self) -> int:
        """Steps done: as recorded at the end, or the last that was logged."""
        stops = [s["stop"] for s in self.record["sessions"] if s["kind"] == "training" and s["stop"] is not None]
        logged = [iteration + 1 for iteration, row in self.rows.items() if "total_loss" in row]
        return max([0, *stops, *logged])

    def metric(self, model: str, unit: str, name: str) -> dict[str, Any]:
        """Value, and interval or reason where they are known, of ``metric`` or ``metric/class``."""
        key = f"{model}/{unit}/{name}"
        if key in self.details.get("metrics", {}):
            return self.details["metrics"][key]
        return {"value": self.unit_metrics(model, unit).get(name)}

    def unit_metrics(self, model: str, unit: str) -> Mapping[str, float | None]:
        dataset, _, task = unit.rpartition("/")
        return self.results.get(model, {}).get(dataset, {}).get(task, {})

    def unit_details(self, model: str, unit: str) -> Mapping[str, Any]:
        """Curves and counts of the details; {} where they were not written."""
        return self.details.get("units", {}).get(f"{model}/{unit}", {})

    def classes(self, unit: str) -> list[str]:
        """In the order of the network's outputs where the predictions say it, else as the results have them."""
        if self.manifest is not None and unit in self.manifest.units:
            return list(self.manifest.units[unit]["classes"])
        names = [name for model in self.models for name in self.unit_metrics(model, unit)]
        return list(dict.fromkeys(name.partition("/")[2] for name in names if "/" in name))

    def scored(self, unit: str) -> bool:
        return any(self.unit_metrics(model, unit) for model in self.models)


def read_run(folder: str | Path, cfg: CfgNode) -> Run:
    """
    Raises:
        ValueError: a file of the folder is damaged; the message names it.
    """
    folder = Path(folder)
    metrics, predictions = folder / "metrics.json", folder / FOLDER
    return Run(
        folder,
        cfg,
        read_record(folder),
        read_metrics(metrics) if metrics.is_file() else {},
        _json(folder / "results.json") or {},
        _json(folder / DETAILS) or {},
        _lines(folder / UNIT_SCORES),
        read_manifest(predictions) if (predictions / MANIFEST).is_file() else None,
        _json(folder / "check_data.json"),
    )


def read_record(folder: str | Path) -> dict[str, Any]:
    """The record of a folder; an empty one where there is none.

    Raises:
        ValueError: the file is damaged or of another version.
    """
    path = Path(folder) / RECORD
    if not path.is_file():
        return {"format": RECORD_FORMAT, "sessions": [], "schedule": None, "images": {}}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        known = record["format"] == RECORD_FORMAT
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} cannot be read ({error}); remove it to write the report without it") from None
    if not known:
        raise ValueError(f"{path}: its format is {record['format']!r}, this version reads {RECORD_FORMAT}")
    return record


def read_metrics(path: Path) -> Rows:
    """The lines of a metrics file by iteration; of values written twice (a resumed run) the later one holds.

    Lines that cannot be read (a run killed while writing) are counted and logged.
    """
    rows: Rows = {}
    unreadable = 0
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
            iteration = int(entry.pop("iteration"))
        except (ValueError, TypeError, KeyError, AttributeError):
            unreadable += bool(line.strip())
            continue
        numbers = {key: float(value) for key, value in entry.items() if isinstance(value, int | float)}
        rows.setdefault(iteration, {}).update(numbers)
    if unreadable:
        logger.warning("%s: %d lines cannot be read and are left out", path, unreadable)
    return dict(sorted(rows.items()))


def _json(path: Path) -> Any:
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error}); evaluate again, or remove it") from None


def _lines(path: Path) -> list[dict[str, Any]]:
    """Of lines for the same moment (a resumed run) the last; a line cut off by a kill is left out and logged."""
    rows: dict[tuple, dict[str, Any]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines() if path.is_file() else (), start=1):
        try:
            row = json.loads(line)
            rows[row["iteration"], row["after"] is not None] = row
        except (ValueError, KeyError, TypeError):
            logger.warning("%s, line %d cannot be read and is left out", path, number)
    return [rows[key] for key in sorted(rows)]

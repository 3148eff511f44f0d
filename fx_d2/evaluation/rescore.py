"""Scores predictions again from their files, and compares two folders of them. No model, no dataset is needed."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..data.errors import DataError, nearest
from .compare import compare
from .detections import score_boxes
from .estimates import UnitScore
from .files import read_manifest, read_table
from .findings import score_findings
from .operating import Thresholds
from .recorder import Recorder
from .segmentations import measure_table, score_masks
from .tables import BoxTable, FindingTable, Manifest, Options, Table

logger = logging.getLogger(__name__)


def score_table(table: Table, unit: str, options: Options, thresholds: Thresholds | None = None) -> UnitScore:
    """What an evaluator gives for the same predictions."""
    if isinstance(table, FindingTable):
        return score_findings(table, options, thresholds, unit)
    if isinstance(table, BoxTable):
        return score_boxes(table, options)
    return score_masks(measure_table(table, options), table.classes, options)


def rescore(folder: str | Path, units: list[str] | None = None, **changes: Any) -> Recorder:
    """Scores a folder of predictions as the evaluation that wrote it did.

    Args:
        units: only these; None: all. changes: fields of :class:`Options` to change, ``bootstraps=0`` for instance.

    Raises:
        DataError: a file is missing or damaged, or a unit is not in the folder.
    """
    manifest = read_manifest(folder)
    recorder = Recorder(replace(manifest.options, **changes), manifest.split, manifest.threshold_split)
    selected = _select_units(manifest, units, folder)
    for number, unit in enumerate(selected, start=1):
        logger.info("scoring %s, unit %d of %d", unit, number, len(selected))
        recorder.add(unit, *score_unit(folder, manifest, unit, recorder))
    return recorder


def score_unit(
    folder: str | Path, manifest: Manifest, unit: str, recorder: Recorder
) -> tuple[dict[str, Table], dict[str, UnitScore]]:
    """Tables and scores of every model on one unit; operating points are chosen first and kept in the recorder."""
    exclusive, splits = bool(manifest.units[unit].get("exclusive")), manifest.units[unit]["splits"]

    def read(split: str) -> dict[str, Table]:
        return {model: read_table(folder, model, unit, split, exclusive) for model in manifest.models}

    findings = unit.endswith("/cls")
    if findings and manifest.threshold_split is not None and manifest.threshold_split in splits:
        recorder.choose_thresholds(unit, read(manifest.threshold_split))
    tables = read(manifest.split)
    scores = {}
    for model, table in tables.items():
        thresholds = recorder.thresholds_of(model, unit, table.classes) if findings else None
        scores[model] = score_table(table, unit, recorder.options, thresholds)
    return tables, scores


def compare_folders(first: str | Path, second: str | Path, units: list[str] | None = None, **changes: Any) -> dict:
    """:func:`compare` of every unit and model that both folders have, by ``model/dataset/task``.

    Raises:
        DataError: the folders share no unit or model, or were not scored on the same images.
    """
    manifests = read_manifest(first), read_manifest(second)
    options = replace(manifests[0].options, **changes)
    models = tuple(model for model in manifests[0].models if model in manifests[1].models)
    shared = [unit for unit in _select_units(manifests[0], units, first) if unit in manifests[1].units]
    if not models or not shared:
        raise DataError(f"{first} and {second} have no unit and model in common")
    comparisons = {}
    for number, unit in enumerate(shared, start=1):
        logger.info("comparing %s, unit %d of %d", unit, number, len(shared))
        pairs = []
        for folder, manifest in zip((first, second), manifests, strict=True):
            recorder = Recorder(options, manifest.split, manifest.threshold_split)
            pairs.append(score_unit(folder, replace(manifest, models=models), unit, recorder))
        (first_tables, first_scores), (second_tables, second_scores) = pairs
        for model in models:
            tables, name = (first_tables[model], second_tables[model]), f"{model}/{unit}"
            comparisons[name] = compare(first_scores[model], second_scores[model], tables, options, name)
    return comparisons


def _select_units(manifest: Manifest, units: list[str] | None, folder: str | Path) -> list[str]:
    for unit in units or ():
        if unit not in manifest.units:
            raise DataError(f"{folder}: no predictions for the unit {unit!r}; {nearest(unit, manifest.units, 'units')}")
    return [unit for unit in units or manifest.units if manifest.split in manifest.units[unit]["splits"]]

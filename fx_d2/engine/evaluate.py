"""Scores networks over units: student and teacher see the same batches, each is evaluated itself (no weight swap)."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from detectron2.data import DatasetCatalog
from detectron2.utils import comm
from torch import nn

from ..config import split_name, unit_metadata
from ..data.loader import build_test_loader, spread
from ..evaluation import EVALUATORS, ClassificationEvaluator, UnitEvaluator
from ..evaluation.files import FOLDER
from ..evaluation.recorder import Recorder
from ..evaluation.tables import Options
from ..schedule import Unit
from .precision import Precision

logger = logging.getLogger(__name__)

# {"student": {dataset: {task: {metric: value}}}, "teacher": {...}}
Results = dict[str, dict[str, dict[str, dict[str, float | None]]]]
# unit -> [(dataset dict, output of the network)]
Cases = dict[Unit, list[tuple[dict, dict]]]


@contextlib.contextmanager
def evaluation_mode(models: Sequence[nn.Module]) -> Iterator[None]:
    """Evaluation mode without gradients; every module gets its own mode back, whatever happens inside."""
    modes = [(module, module.training) for model in models for module in model.modules()]
    try:
        for model in models:
            model.eval()
        with torch.inference_mode():
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def evaluate(
    cfg,
    models: Mapping[str, nn.Module],
    units: Sequence[Unit],
    split: str,
    precision: Precision,
    keep: int = 0,
    limit: int = 0,
) -> tuple[Results, Cases]:
    """The main metrics of every model on every unit that has the split: what a validation during training needs.

    Args:
        models: by name (``student``, ``teacher``); each a :class:`FoundationX`.
        keep: images per unit whose outputs (of the last model) are returned for pictures, spread over the split.
        limit: images per unit that are scored, spread over the split; 0: all.

    Returns:
        results (complete on the main process, empty dicts of metrics elsewhere) and the kept cases.
    """
    results: Results = {name: {} for name in models}
    cases: Cases = {}
    with evaluation_mode(list(models.values())):
        for unit, batches in _read_units(cfg, units, split, limit):
            evaluators, cases[unit] = _run_unit(models, unit, split, batches, precision, keep, limit=limit)
            for name, evaluator in evaluators.items():
                results[name].setdefault(unit.dataset, {})[unit.task] = evaluator.evaluate().get(unit.task, {})
    comm.synchronize()
    return results, cases


def evaluate_fully(
    cfg, models: Mapping[str, nn.Module], units: Sequence[Unit], precision: Precision, keep: int = 0
) -> tuple[Results, Cases]:
    """The final evaluation of ``FX.EVAL.SPLIT``: intervals, operating points, curves, comparisons.

    Fills ``OUTPUT_DIR`` with the files of :mod:`fx_d2.evaluation.recorder` and, unless ``FX.EVAL.PREDICTIONS`` is
    off, of :mod:`fx_d2.evaluation.files`. Arguments and returns as for :func:`evaluate`.
    """
    options, split, val_split = evaluation_options(cfg), cfg.FX.EVAL.SPLIT, cfg.FX.EVAL.VAL_SPLIT
    main = comm.is_main_process()
    folder = Path(cfg.OUTPUT_DIR) / FOLDER if cfg.FX.EVAL.PREDICTIONS and main else None
    recorder = Recorder(options, split, val_split, folder)
    results: Results = {name: {} for name in models}
    cases: Cases = {}
    with evaluation_mode(list(models.values())):
        findings = [unit for unit in units if unit.task == "cls"] if recorder.threshold_split else []
        for unit, batches in _read_units(cfg, findings, val_split):
            evaluators, _ = _run_unit(models, unit, val_split, batches, precision)
            tables = {name: e.table for name, e in evaluators.items() if e.evaluate() and e.table is not None}
            recorder.choose_thresholds(str(unit), tables)
        for unit, batches in _read_units(cfg, units, split):
            evaluators, cases[unit] = _run_unit(models, unit, split, batches, precision, keep, options)
            for name, evaluator in evaluators.items():
                if isinstance(evaluator, ClassificationEvaluator):
                    evaluator.thresholds = recorder.thresholds_of(name, str(unit), evaluator.classes)
                results[name].setdefault(unit.dataset, {})[unit.task] = evaluator.evaluate().get(unit.task, {})
            if main:
                tables = {name: e.table for name, e in evaluators.items() if e.table is not None}
                scores = {name: e.score for name, e in evaluators.items() if e.score is not None}
                recorder.add(str(unit), tables, scores)
    if main:
        recorder.write(cfg.OUTPUT_DIR)
    comm.synchronize()
    return results, cases


def evaluation_options(cfg) -> Options:
    keys = cfg.FX.EVAL
    return Options(
        bootstraps=keys.BOOTSTRAPS,
        confidence=keys.CONFIDENCE,
        seed=max(cfg.SEED, 0),
        operating_point=keys.OPERATING_POINT,
        froc_iou=keys.FROC_IOU,
        distances=keys.DISTANCES,
    )


def _read_units(cfg, units: Sequence[Unit], split: str, limit: int = 0) -> Iterator[tuple[Unit, Iterator[list[dict]]]]:
    """The units that have the split, each announced in the log, with their batches."""
    known = [unit for unit in units if split in unit_metadata(unit).splits]
    for unit in units:
        if unit not in known:
            logger.warning("%s has no %s split, it is not scored", unit, split)
    for number, (unit, batches) in enumerate(build_test_loader(cfg, known, split, limit), start=1):
        images = len(DatasetCatalog.get(split_name(unit, split)))
        logger.info("evaluating %s on %s (%d images), unit %d of %d", unit, split, images, number, len(known))
        yield unit, batches


def _run_unit(
    models: Mapping[str, nn.Module],
    unit: Unit,
    split: str,
    batches: Iterable[list[dict]],
    precision: Precision,
    keep: int = 0,
    options: Options | None = None,
    limit: int = 0,
) -> tuple[dict[str, UnitEvaluator], list[tuple[dict, dict]]]:
    """Runs every model over the images of a split, which are read once; so is their truth."""
    records, metadata = spread(DatasetCatalog.get(split_name(unit, split)), limit), unit_metadata(unit)
    evaluators = {
        name: EVALUATORS[unit.task](records, metadata.thing_classes, metadata.exclusive, options) for name in models
    }
    first = next(iter(evaluators.values()))
    wanted = {records[i * len(records) // keep]["image_id"] for i in range(min(keep, len(records)))} if keep else set()
    by_id = {record["image_id"]: record for record in records}
    kept = []
    for batch in batches:
        truths = first.truths_of(batch)
        for name, model in models.items():
            with precision.autocast():
                outputs = model(batch)
            evaluators[name].process(batch, outputs, truths)
        for entry, output in zip(batch, outputs, strict=True):
            if entry["image_id"] in wanted:
                size = {key: entry[key] for key in ("height", "width")}  # a record of findings may lack it
                kept.append(({**by_id[entry["image_id"]], **size}, output))
    return evaluators, kept

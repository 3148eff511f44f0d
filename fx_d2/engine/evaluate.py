"""Scores networks over units: student and teacher see the same batches, each is evaluated itself (no weight swap)."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence

import torch
from detectron2.data import DatasetCatalog
from detectron2.utils import comm
from torch import nn

from ..config import split_name, unit_metadata
from ..data.loader import build_test_loader
from ..evaluation import EVALUATORS
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
    cfg, models: Mapping[str, nn.Module], units: Sequence[Unit], split: str, precision: Precision, keep: int = 0
) -> tuple[Results, Cases]:
    """Scores every model on every unit that has the split.

    Args:
        models: by name (``student``, ``teacher``); each a :class:`FoundationX`.
        keep: images per unit whose outputs (of the last model) are returned for pictures, spread over the split.

    Returns:
        results (complete on the main process, empty dicts of metrics elsewhere) and the kept cases.
    """
    results: Results = {name: {} for name in models}
    cases: Cases = {}
    with evaluation_mode(list(models.values())):
        for number, unit in enumerate(units):
            if split not in unit_metadata(unit).splits:
                logger.warning("%s has no %s split, it is not scored", unit, split)
                continue
            records = DatasetCatalog.get(split_name(unit, split))
            logger.info(
                "evaluating %s on %s (%d images), unit %d of %d", unit, split, len(records), number + 1, len(units)
            )
            scores, cases[unit] = _evaluate_unit(cfg, models, unit, split, records, precision, keep)
            for name, metrics in scores.items():
                results[name].setdefault(unit.dataset, {})[unit.task] = metrics
    comm.synchronize()
    return results, cases


def _evaluate_unit(cfg, models, unit: Unit, split: str, records: list[dict], precision: Precision, keep: int):
    metadata = unit_metadata(unit)
    evaluators = {
        name: EVALUATORS[unit.task](records, metadata.thing_classes, exclusive=metadata.exclusive) for name in models
    }
    wanted = {records[i * len(records) // keep]["image_id"] for i in range(min(keep, len(records)))} if keep else set()
    by_id = {record["image_id"]: record for record in records}
    kept = []
    for batch in build_test_loader(cfg, unit, split):
        for name, model in models.items():
            with precision.autocast():
                outputs = model(batch)
            evaluators[name].process(batch, outputs)
        for entry, output in zip(batch, outputs, strict=True):
            if entry["image_id"] in wanted:
                kept.append((by_id[entry["image_id"]], output))
    return {name: evaluator.evaluate().get(unit.task, {}) for name, evaluator in evaluators.items()}, kept

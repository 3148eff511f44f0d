"""What is found out before any work: evaluation splits that can be read, a metric that exists, locks that fit."""

from __future__ import annotations

import torch
from detectron2.data import DatasetCatalog
from detectron2.structures import Boxes, Instances
from detectron2.utils import comm

from ..config import cycle_units, split_name, unit_metadata
from ..data.errors import nearest
from ..data.loader import unit_sizes
from ..evaluation import EVALUATORS
from ..modeling import FoundationX
from ..schedule import CycleSchedule, Unit
from .locking import is_below


def check_evaluation(cfg) -> None:
    """Reads what will be scored, so that a mistake in a test file is found now and not after the training.

    Raises:
        ValueError: a split is wrong, or ``FX.EVAL.BEST`` names a metric that its unit does not have.
    """
    splits = {cfg.FX.EVAL.SPLIT, cfg.FX.EVAL.VAL_SPLIT if cfg.FX.EVAL.CYCLES or cfg.FX.EVAL.AFTER_UNITS else ""} - {""}
    for split in sorted(splits):
        unit_sizes([unit for unit in cycle_units(cfg) if split in unit_metadata(unit).splits], split)
    _, _, rest = cfg.FX.EVAL.BEST.partition("/")
    if rest != "mean" and cfg.FX.EVAL.CYCLES:
        dataset, task, metric = rest.split("/", 2)
        _check_metric(Unit(dataset, task), cfg.FX.EVAL.VAL_SPLIT, metric)


def _check_metric(unit: Unit, split: str, metric: str) -> None:
    if split not in unit_metadata(unit).splits:
        raise ValueError(f"FX.EVAL.BEST: {unit} has no split {split!r} to be scored (FX.EVAL.VAL_SPLIT)")
    names = metric_names(unit, split)
    if comm.is_main_process() and metric not in names:
        raise ValueError(f"FX.EVAL.BEST: {unit} has no metric {metric!r}; {nearest(metric, names, 'metrics')}")


def metric_names(unit: Unit, split: str) -> list[str]:
    """Names of the metrics of a unit: its evaluator scores an empty prediction of one image (collective call).

    Complete on the main process, empty elsewhere, as the results of an evaluator are.
    """
    record, metadata = DatasetCatalog.get(split_name(unit, split))[0], unit_metadata(unit)
    size, classes = (record["height"], record["width"]), len(metadata.thing_classes)
    nothing = Instances(size, pred_boxes=Boxes(torch.zeros(0, 4)), scores=torch.zeros(0))
    nothing.pred_classes = torch.zeros(0, dtype=torch.int64)
    outputs = {
        "cls": {"scores": torch.full((classes,), 1.0 / classes)},
        "box": {"instances": nothing},
        "mask": {"masks": torch.zeros(classes, *size), "instances": nothing},
    }
    evaluator = EVALUATORS[unit.task]([record], metadata.thing_classes, exclusive=metadata.exclusive)
    evaluator.process([{"image_id": record["image_id"]}], [outputs[unit.task]])
    return list(evaluator.evaluate().get(unit.task, {}))


def check_locks(model: FoundationX, schedule: CycleSchedule) -> None:
    """Raises ValueError where a pass of the cycle would train nothing, or names a part that is not there."""
    names = [name for name, _ in model.named_parameters()]
    for scheduled in schedule.passes:
        for part in model.trainable_parts(scheduled.unit, scheduled.plan.train):
            if not any(is_below(name, [part]) for name in names):
                raise ValueError(f"{scheduled.unit}, pass {scheduled.pass_index + 1}: no parameter is named {part!r}")

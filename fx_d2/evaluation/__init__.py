"""Metrics of each task, and the results that a run writes."""

from .base import UnitEvaluator
from .evaluators import BoxEvaluator, ClassificationEvaluator, MaskEvaluator

# By task; all take (dataset dicts, classes, exclusive, options).
EVALUATORS: dict[str, type[UnitEvaluator]] = {
    evaluator.task: evaluator for evaluator in (ClassificationEvaluator, BoxEvaluator, MaskEvaluator)
}

__all__ = ["EVALUATORS", "BoxEvaluator", "ClassificationEvaluator", "MaskEvaluator", "UnitEvaluator"]

"""Metrics of each task, and the results that a run writes."""

from .base import UnitEvaluator
from .box import BoxEvaluator
from .classification import ClassificationEvaluator
from .mask import MaskEvaluator

# Task -> evaluator; all take (dataset dicts, classes, exclusive).
EVALUATORS: dict[str, type[UnitEvaluator]] = {
    "cls": ClassificationEvaluator,
    "box": BoxEvaluator,
    "mask": MaskEvaluator,
}

__all__ = ["EVALUATORS", "BoxEvaluator", "ClassificationEvaluator", "MaskEvaluator", "UnitEvaluator"]

"""Predicts the images of a pairing and scores them against its truth."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from ..data.records import DatasetRecord
from ..evaluation import EVALUATORS
from ..evaluation.estimates import Estimate, UnitScore
from ..evaluation.results import MAIN_METRIC
from ..evaluation.sides import count_exchanged
from ..evaluation.tables import FindingTable, Options, Table
from ..prediction import Predictor
from .plan import Pairing
from .translate import choose_truth, translate

# Gives the items of its first argument, ``total`` many, and shows how far it is; ``tqdm`` is one.
Track = Callable[..., Iterable]


@dataclass(frozen=True)
class Outcome:
    """What a head reached on one unit of truth.

    Attributes:
        exchanged: how many predictions took left for right, and of how many, see :func:`count_exchanged`.
    """

    pairing: Pairing
    table: Table
    score: UnitScore
    exchanged: tuple[int, int] = (0, 0)

    @property
    def images(self) -> int:
        return len(self.table.images)

    @property
    def main(self) -> tuple[str, Estimate]:
        """The main metric of the task and the mean over the classes."""
        name = MAIN_METRIC[self.pairing.truth.task]
        return name, self.score.estimates[name]

    def percentile(self, percent: float) -> float | None:
        """Of the Dice of single images and classes that are there; None for other tasks and where there are none."""
        masks = self.score.details.get("masks", {})
        values = [value for details in masks.values() for value in details["dice"]]
        return float(np.percentile(values, percent)) if values else None


def score(
    predictor: Predictor, pairing: Pairing, datasets: Mapping[str, DatasetRecord], options: Options, track: Track
) -> Outcome:
    """All images of the dataset, of whatever split: the network has seen none of them.

    Args:
        predictor: of the pairing's head alone. pairing: checked.

    Raises:
        DataError: the dataset or an image cannot be read.
    """
    dataset, task = datasets[pairing.truth.dataset], pairing.truth.task
    classes, names = dataset.tasks[task].classes, predictor.classes[pairing.head].names
    positions = [classes.index(name) for name in pairing.classes]
    records = [choose_truth(record, positions) for split in dataset.splits for record in dataset.read(task, split)]
    evaluator = EVALUATORS[task](records, list(pairing.classes), False, options)
    predictions = predictor.stream([record["file_name"] for record in records])
    for record, prediction in track(zip(records, predictions, strict=True), total=len(records)):
        record.setdefault("height", prediction.height)
        record.setdefault("width", prediction.width)
        evaluator.process([record], [translate(prediction.outputs[pairing.head], pairing, names)])
    evaluator.evaluate()
    assert evaluator.table is not None and evaluator.score is not None
    table = evaluator.table
    sides = (0, 0) if isinstance(table, FindingTable) else count_exchanged(table, dataset.tasks[task].lateral_pairs)
    return Outcome(pairing, table, evaluator.score, sides)

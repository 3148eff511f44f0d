"""What the evaluators of all tasks share: one measurement per image, gathered from all processes, none missing."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm

logger = logging.getLogger(__name__)

Metrics = dict[str, float | None]


class UnitEvaluator(DatasetEvaluator):
    """Scores one unit.

    A task adds :meth:`measure` (one image: what must be kept of a prediction) and :meth:`summarise` (all images).

    Args:
        dataset_dicts: the images of the split, one dict each, with a unique ``image_id``.
        classes: names of the unit's classes in the order of the network's outputs.
        exclusive: the classes exclude each other. Part of the common signature; only classification makes use of it.

    Raises:
        ValueError: there are no images, or two of them share an ``image_id``.
    """

    task: str

    def __init__(self, dataset_dicts: Sequence[dict], classes: Sequence[str], exclusive: bool = False) -> None:
        self.classes = tuple(classes)
        self.exclusive = exclusive
        self.records = {record["image_id"]: record for record in dataset_dicts}
        if not self.records:
            raise ValueError(f"there are no images to score ({self.task})")
        self.unit = next(iter(self.records.values())).get("unit", self.task)
        if len(self.records) < len(dataset_dicts):
            raise ValueError(f"{self.unit}: {len(dataset_dicts) - len(self.records)} images repeat an image_id")
        self.reset()

    def reset(self) -> None:
        """Forgets all predictions."""
        self._measured: dict[str, Any] = {}

    def process(self, inputs: Sequence[Mapping], outputs: Sequence[Mapping]) -> None:
        """Measures a batch. An image that comes twice counts once, by its first prediction.

        Args:
            inputs: mapper outputs. outputs: what the network returned for them, in the same order.

        Raises:
            ValueError: an image is not in the dataset, or its prediction is malformed.
        """
        for entry, output in zip(inputs, outputs, strict=True):
            image_id = entry["image_id"]
            if image_id not in self.records:
                raise ValueError(
                    f"{self.unit}: prediction for image {image_id!r}, which is not among the {len(self.records)} "
                    "images to score; loader and evaluator must be built for the same split"
                )
            if image_id not in self._measured:
                self._measured[image_id] = self.measure(self.records[image_id], output)

    def evaluate(self) -> dict[str, Metrics]:
        """Gathers the predictions of all processes (collective call) and scores them.

        Returns:
            ``{task: {metric: value}}``, values 0..1 or None where undefined; an empty dict on all but the main process.

        Raises:
            ValueError: some images have no prediction: a smaller test set must not pass for the whole.
        """
        parts = comm.gather(self._measured, dst=0)
        if not comm.is_main_process():
            return {}
        measured: dict[str, Any] = {}
        for part in parts:
            for image_id, value in part.items():
                measured.setdefault(image_id, value)
        repeated = sum(map(len, parts)) - len(measured)
        if repeated:
            logger.info("%s: %d predictions came from two processes and count once", self.unit, repeated)
        missing = [image_id for image_id in self.records if image_id not in measured]
        if missing:
            raise ValueError(
                f"{self.unit}: {len(missing)} of {len(self.records)} images have no prediction, "
                f"for instance {', '.join(map(repr, missing[:3]))}"
            )
        # In the order of the dataset, however the images were shared among processes.
        return {self.task: self.summarise([measured[image_id] for image_id in self.records])}

    def measure(self, record: dict, output: Mapping) -> Any:
        """What is kept of one prediction: small, on the CPU, picklable."""
        raise NotImplementedError

    def summarise(self, measured: list) -> Metrics:
        """The metrics, from the measurements in the order of the dataset."""
        raise NotImplementedError

    def fault(self, record: dict, what: str) -> ValueError:
        """An error about the prediction for one image."""
        return ValueError(f"{self.unit}: image {record['image_id']!r}: {what}")


def mean_or_none(values: Sequence[float | None] | np.ndarray) -> float | None:
    """Mean of the defined values; None where there are none."""
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None


def with_classes(classes: Sequence[str], per_class: Mapping[str, Sequence[float | None]]) -> Metrics:
    """``metric``: mean over the classes where it is defined, then ``metric/class`` for every class."""
    metrics: Metrics = {name: mean_or_none(values) for name, values in per_class.items()}
    for index, label in enumerate(classes):
        metrics.update({f"{name}/{label}": values[index] for name, values in per_class.items()})
    return metrics

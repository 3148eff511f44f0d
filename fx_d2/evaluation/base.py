"""The base of the evaluators: one measurement per image, gathered from all processes, none missing."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm

from .estimates import Metrics, UnitScore
from .tables import ImageRow, Options, Table

logger = logging.getLogger(__name__)


class UnitEvaluator(DatasetEvaluator):
    """Scores one unit.

    A task adds :meth:`measure` (one image) and :meth:`summarise` (all images), and :meth:`truth_of` where the truth is
    costly to read, so that the evaluators of several models share it.

    Args:
        records: dataset dicts of the split, with a unique ``image_id``.
        classes: in the order of the network's outputs. exclusive: they exclude each other (classification).
        options: of the final evaluation; None: the main metrics only, for a validation during training.

    Attributes:
        score, table: after :meth:`evaluate`, on the main process. For masks the table needs ``options``.

    Raises:
        ValueError: there are no images, or two of them share an ``image_id``.
    """

    task: str

    def __init__(
        self, records: Sequence[dict], classes: Sequence[str], exclusive: bool = False, options: Options | None = None
    ) -> None:
        self.classes, self.exclusive, self.options = tuple(classes), exclusive, options
        self.table: Table | None = None
        self.score: UnitScore | None = None
        self.records = {record["image_id"]: record for record in records}
        if not self.records:
            raise ValueError(f"there are no images to score ({self.task})")
        self.unit = next(iter(self.records.values())).get("unit", self.task)
        if len(self.records) < len(records):
            raise ValueError(f"{self.unit}: {len(records) - len(self.records)} images repeat an image_id")
        self.reset()

    def reset(self) -> None:
        """Forgets all predictions."""
        self._measured: dict[str, Any] = {}

    def process(
        self, inputs: Sequence[Mapping], outputs: Sequence[Mapping], truths: Sequence[Any] | None = None
    ) -> None:
        """Measures a batch. An image that comes twice counts once, by its first prediction.

        Args:
            inputs: mapper outputs. outputs: of the network. truths: of :meth:`truths_of`; None: read here.

        Raises:
            ValueError: an image is not in the dataset, or its prediction is malformed.
        """
        truths = self.truths_of(inputs) if truths is None else truths
        for entry, output, truth in zip(inputs, outputs, truths, strict=True):
            record = self._record(entry)
            if record["image_id"] not in self._measured:
                self._measured[record["image_id"]] = self.measure(record, output, truth)

    def truths_of(self, inputs: Sequence[Mapping]) -> list[Any]:
        """The truth of a batch, for :meth:`process` of every model's evaluator."""
        return [self.truth_of(self._record(entry)) for entry in inputs]

    def _record(self, entry: Mapping) -> dict:
        record = self.records.get(entry["image_id"])
        if record is None:
            raise ValueError(
                f"{self.unit}: prediction for image {entry['image_id']!r}, which is not among the {len(self.records)} "
                "images to score; loader and evaluator must be built for the same split"
            )
        return record

    def evaluate(self) -> dict[str, Metrics]:
        """Gathers the predictions of all processes (collective call) and scores them.

        Returns:
            ``{task: {metric: value}}``, None where undefined; an empty dict on all but the main process.

        Raises:
            ValueError: some images have no prediction.
        """
        parts = comm.gather(self._measured, dst=0)
        if not comm.is_main_process():
            return {}
        # Of an image that came twice the first measurement counts.
        measured = {image_id: value for part in reversed(parts) for image_id, value in part.items()}
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
        self.score = self.summarise([measured[image_id] for image_id in self.records])
        return {self.task: self.score.metrics}

    def truth_of(self, record: dict) -> Any:
        """The truth that :meth:`measure` needs, if any."""
        return None

    def measure(self, record: dict, output: Mapping, truth: Any) -> Any:
        """What the score needs of one prediction: small, on the CPU, picklable."""
        raise NotImplementedError

    def summarise(self, measured: list) -> UnitScore:
        """Sets :attr:`table` and scores it; the measurements come in the order of the dataset."""
        raise NotImplementedError

    def images(self) -> list[ImageRow]:
        """The images in the order of the dataset."""
        return [ImageRow.from_record(record) for record in self.records.values()]

    def prediction_error(self, record: dict, problem: str) -> ValueError:
        return ValueError(f"{self.unit}: image {record['image_id']!r}: {problem}")

"""Image-level findings: what is kept of a network's scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .base import UnitEvaluator
from .estimates import UnitScore
from .findings import score_findings, subsets_of
from .operating import Thresholds
from .tables import FindingTable


class ClassificationEvaluator(UnitEvaluator):
    """Scores findings, see :func:`score_findings`.

    Attributes:
        thresholds: operating point of each class, chosen on validation; None: there is none.
    """

    task = "cls"
    thresholds: Thresholds | None = None

    def measure(self, record: dict, output: Mapping, truth: Any) -> np.ndarray:
        """-> (K,) float64 scores."""
        scores = output["scores"].detach().cpu().double().numpy()
        if scores.shape != (len(self.classes),):
            raise self.prediction_error(record, f"scores of shape {scores.shape} for {len(self.classes)} classes")
        if not np.isfinite(scores).all():
            raise self.prediction_error(record, "a score is not finite; the network has diverged")
        return scores

    def summarise(self, measured: list[np.ndarray]) -> UnitScore:
        labels = np.array([record["labels"] for record in self.records.values()], dtype=np.float64)
        self.table = FindingTable(self.images(), self.classes, labels, np.stack(measured), self.exclusive)
        subsets = subsets_of(self.unit, self.classes)
        return score_findings(self.table, self.options, self.thresholds, subsets)

"""Truth and predictions of one unit as arrays and run lengths, filled by the evaluators or read from files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

# A COCO run-length record, counts as compressed text.
RunLengths = dict[str, Any]


@dataclass(frozen=True)
class ImageRow:
    """An image that was scored.

    Attributes:
        patient_id: None where unknown; then the image counts as a patient of its own.
        height, width: pixels of the stored image; 0 where it does not matter (findings).
        spacing: height and width of a pixel in millimetres, None where unknown.
        unknown_classes: indices of the classes that were not annotated on this image (masks).
    """

    image_id: str
    patient_id: str | None = None
    height: int = 0
    width: int = 0
    spacing: tuple[float, float] | None = None
    unknown_classes: tuple[int, ...] = ()

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> ImageRow:
        """From a dataset dict."""
        patient, spacing = record.get("patient_id"), record.get("spacing")
        return cls(
            image_id=str(record["image_id"]),
            patient_id=None if patient in (None, "") else str(patient),
            height=int(record.get("height", 0)),
            width=int(record.get("width", 0)),
            spacing=None if spacing is None else (float(spacing[0]), float(spacing[1])),
            unknown_classes=tuple(int(index) for index in record.get("unknown_classes", ())),
        )


def patients_of(images: Sequence[ImageRow]) -> np.ndarray:
    """(N,) number of each image's patient, from 0 in the order of appearance."""
    numbers: dict[tuple[str, str], int] = {}
    keys = (("patient", row.patient_id) if row.patient_id is not None else ("image", row.image_id) for row in images)
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)


@dataclass(frozen=True)
class FindingTable:
    """Shapes: labels (N, K): 1, 0, NaN where unknown, or soft (the reader was uncertain); scores (N, K), 0..1."""

    images: Sequence[ImageRow]
    classes: tuple[str, ...]
    labels: np.ndarray
    scores: np.ndarray
    exclusive: bool = False

    def known_labels(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Labels (bool) and scores of one class over the images labelled 0 or 1."""
        labels = self.labels[:, index]
        known = (labels == 0) | (labels == 1)
        return labels[known] == 1, self.scores[known, index]


@dataclass(frozen=True)
class BoxTable:
    """Boxes in pixels of the stored images; image and class are positions in ``images`` and ``classes``.

    Shapes:
        truth (G, 7): image, x, y, width, height, class, crowd (0 or 1). predictions (M, 7): likewise, score last.
    """

    images: Sequence[ImageRow]
    classes: tuple[str, ...]
    truth: np.ndarray
    predictions: np.ndarray


@dataclass(frozen=True)
class MaskRow:
    """A connected region of one class on one image; ``score`` is 0 for truth, in which nothing is a crowd."""

    category: int
    runs: RunLengths
    score: float = 0.0


@dataclass(frozen=True)
class MaskTable:
    """Masks as run lengths: per image the connected regions of truth and prediction."""

    images: Sequence[ImageRow]
    classes: tuple[str, ...]
    truth: Sequence[Sequence[MaskRow]]
    predictions: Sequence[Sequence[MaskRow]]


Table = FindingTable | BoxTable | MaskTable


@dataclass(frozen=True)
class Options:
    """Options of the final evaluation; stored with the predictions, so that rescoring uses the same.

    Attributes:
        bootstraps: replicates of every interval; 0: no bootstrap intervals. confidence: level of the intervals.
        operating_point: criterion that chooses the thresholds on validation, ``youden`` or ``f1``.
        froc_iou: intersection over union from which a box is a hit in the FROC analysis.
        distances: surface distances of masks too (they are slow).
    """

    bootstraps: int = 1000
    confidence: float = 0.95
    seed: int = 0
    operating_point: str = "youden"
    froc_iou: float = 0.5
    distances: bool = True


@dataclass(frozen=True)
class Manifest:
    """The content of a folder of predictions.

    Attributes:
        units: by ``dataset/task``: ``classes``, ``exclusive`` and ``splits``.
        threshold_split: where the thresholds were chosen; None: they were not.
    """

    split: str
    models: tuple[str, ...]
    units: dict[str, dict[str, Any]]
    threshold_split: str | None = None
    options: Options = field(default_factory=Options)


def as_rows(rows: Iterable[Sequence[float]], width: int) -> np.ndarray:
    """(N, width) float64; N may be 0."""
    return np.array(list(rows), dtype=np.float64).reshape(-1, width)

"""The truth of a batch in tensors whose shapes do not follow the number of its boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

# Boxes of an image that the smallest tensors hold; it doubles where a batch has more.
FEWEST = 20


@dataclass
class BoxTargets:
    """Truth of one image: labels int64 (T,), boxes (T, 4) as cx, cy, w, h in 0..1 of the input."""

    labels: Tensor
    boxes: Tensor


class BatchTargets(NamedTuple):
    """Truth of a batch, filled up with zeros: boxes (B, T, 4), labels int64 (B, T); ``valid`` (B, T): no filling."""

    boxes: Tensor
    labels: Tensor
    valid: Tensor

    @classmethod
    def pad(cls, targets: Sequence[BoxTargets], fewest: int = FEWEST) -> BatchTargets:
        """T is the smallest of ``fewest`` * 1, 2, 4, ... that holds the boxes of every image."""
        size = fewest
        while size < max(len(truth.labels) for truth in targets):
            size *= 2
        boxes, labels = torch.zeros(len(targets), size, 4), torch.zeros(len(targets), size, dtype=torch.int64)
        for row, truth in enumerate(targets):
            boxes[row, : len(truth.labels)], labels[row, : len(truth.labels)] = truth.boxes, truth.labels
        counts = torch.tensor([len(truth.labels) for truth in targets])
        return cls(boxes, labels, torch.arange(size) < counts[:, None])

    def to(self, device: torch.device) -> BatchTargets:
        return BatchTargets(*(part.to(device, non_blocking=True) for part in self))


class Pairs(NamedTuple):
    """M places for pairs of a query and the box that it learns: ``query`` and ``target`` int64 (L, B, M).

    L decoder layers; ``target`` is the box's place in :class:`BatchTargets`. ``used`` (L, B, M): whether there
    is a pair.
    """

    query: Tensor
    target: Tensor
    used: Tensor

    @classmethod
    def of_assignment(cls, assigned: Tensor) -> Pairs:
        """From the query of each box, -1 for none: :func:`.matcher.assign`."""
        target = torch.arange(assigned.shape[2], device=assigned.device)
        return cls(assigned.clamp(min=0), target.expand(assigned.shape), assigned >= 0)

"""Hungarian matching between queries and truth (DETR, equation 1, with DINO's focal class cost)."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from .boxes import giou
from .targets import BatchTargets

ALPHA, GAMMA = 0.25, 2.0
# Stands for a cost that is not finite, which scipy refuses. Such a pair is taken first, so that the losses are not
# finite either and the trainer's policy decides.
_NOT_FINITE = -1e30
_FILLING = float("inf")  # rows of the truth's filling


def match_costs(
    logits: Tensor, boxes: Tensor, truth: BatchTargets, cost_class: float, cost_box: float, cost_giou: float
) -> Tensor:
    """Cost of every query for every place of the truth, its filling included.

    logits (L, B, Q, K), boxes (L, B, Q, 4) cx, cy, w, h in 0..1 -> (L, B, T, Q).
    """
    probability = logits.sigmoid()
    positive = ALPHA * (1 - probability) ** GAMMA * -(probability + 1e-8).log()
    negative = (1 - ALPHA) * probability**GAMMA * -(1 - probability + 1e-8).log()
    labels = truth.labels[..., None].expand(len(logits), -1, -1, logits.shape[2])
    cost = cost_class * (positive - negative).transpose(2, 3).gather(2, labels)
    predicted, true = boxes[:, :, None], truth.boxes[:, :, None]
    cost = cost + cost_box * (predicted - true).abs().sum(-1)
    return cost - cost_giou * giou(predicted, true)


@torch.no_grad()
def costs_to_assign(logits: Tensor, boxes: Tensor, truth: BatchTargets, *costs: float) -> Tensor:
    """:func:`match_costs` as :func:`assign` takes them: the filling marked, no value that scipy refuses."""
    values = match_costs(logits, boxes, truth, *costs)
    return torch.where(values.isfinite(), values, _NOT_FINITE).masked_fill(~truth.valid[..., None], _FILLING)


def assign(costs: Tensor) -> Tensor:
    """One-to-one assignment of least cost for every layer and image, on the host.

    :func:`costs_to_assign` (L, B, T, Q) -> int64 (L, B, T): the query of each box; -1 for filling, and where an image
    has more boxes than queries.
    """
    values = costs.numpy()
    found = np.full(values.shape[:3], -1)
    counts = (values[0, :, :, 0] < _FILLING).sum(1)
    single = counts == 1  # many images have one box, which takes its cheapest query
    found[:, single, 0] = values[:, single, 0].argmin(-1)
    for image in np.flatnonzero(counts > 1):
        for layer, matrix in enumerate(values[:, image, : counts[image]]):
            target, query = linear_sum_assignment(matrix)
            found[layer, image, target] = query
    return torch.from_numpy(found)

"""Hungarian matching between queries and truth (DETR, equation 1, with DINO's focal class cost)."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from .boxes import pairwise_giou
from .denoising import BoxTargets

ALPHA, GAMMA = 0.25, 2.0


def match_costs(
    logits: Tensor, boxes: Tensor, truth: BoxTargets, cost_class: float, cost_box: float, cost_giou: float
) -> Tensor:
    """Cost of every query for every true box of one image.

    Shapes:
        logits (L, Q, K), boxes (L, Q, 4) cx, cy, w, h in 0..1 -> (L, Q, T).
    """
    probability = logits.sigmoid()
    positive = ALPHA * (1 - probability) ** GAMMA * -(probability + 1e-8).log()
    negative = (1 - ALPHA) * probability**GAMMA * -(1 - probability + 1e-8).log()
    cost = cost_class * (positive - negative)[..., truth.labels]
    cost = cost + cost_box * (boxes[:, :, None] - truth.boxes).abs().sum(-1)
    return cost - cost_giou * pairwise_giou(boxes, truth.boxes)


@torch.no_grad()
def match(
    logits: Tensor, boxes: Tensor, targets: list[BoxTargets], cost_class: float, cost_box: float, cost_giou: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """One-to-one assignment of least cost, for every layer and image.

    Shapes:
        logits (L, B, Q, K), boxes (L, B, Q, 4) cx, cy, w, h in 0..1.

    Returns:
        four int64 tensors (M,): layer, image, query and target index (within the image) of every matched pair.
    """
    shape = logits.shape[0], logits.shape[2]
    costs = [
        match_costs(logits[:, image], boxes[:, image], truth, cost_class, cost_box, cost_giou).flatten()
        for image, truth in enumerate(targets)
    ]
    # One transfer: a GPU would otherwise wait for the processor once an image.
    parts = torch.cat(costs).cpu().split([len(cost) for cost in costs])
    pairs = [np.zeros((4, 0), dtype=np.int64)]
    for image, (truth, part) in enumerate(zip(targets, parts, strict=True)):
        for layer, matrix in enumerate(part.view(*shape, len(truth.labels)).numpy()):
            query, target = linear_sum_assignment(matrix)
            pairs.append(np.stack([np.full_like(query, layer), np.full_like(query, image), query, target]))
    layers, images, queries, matched = torch.from_numpy(np.concatenate(pairs, axis=1)).to(boxes.device)
    return layers, images, queries, matched

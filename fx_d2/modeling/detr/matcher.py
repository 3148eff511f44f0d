"""Hungarian matching between queries and truth (DETR, equation 1, with DINO's focal class cost)."""

from __future__ import annotations

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
    layers, images, queries, truths = [], [], [], []
    for image, truth in enumerate(targets):
        if len(truth.labels) == 0:
            continue
        cost = match_costs(logits[:, image], boxes[:, image], truth, cost_class, cost_box, cost_giou)
        for layer, matrix in enumerate(cost.cpu().numpy()):
            query, target = linear_sum_assignment(matrix)
            layers += [layer] * len(query)
            images += [image] * len(query)
            queries += query.tolist()
            truths += target.tolist()
    return tuple(
        torch.tensor(index, dtype=torch.int64, device=boxes.device) for index in (layers, images, queries, truths)
    )

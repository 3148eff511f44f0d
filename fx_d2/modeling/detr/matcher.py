"""Hungarian matching between queries and truth (DETR, equation 1, with DINO's focal class cost)."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from .boxes import giou
from .denoising import Assignment, BoxTargets

ALPHA, GAMMA = 0.25, 2.0
# Stands for a cost that is not finite, which scipy refuses. Such a pair is taken first, so that the losses are not
# finite either and the trainer's policy decides.
_NOT_FINITE = -1e30


def match_costs(
    logits: Tensor, boxes: Tensor, truth: BoxTargets, cost_class: float, cost_box: float, cost_giou: float
) -> Tensor:
    """Cost of every query for every true box of one image.

    logits (L, Q, K), boxes (L, Q, 4) cx, cy, w, h in 0..1 -> (L, Q, T).
    """
    probability = logits.sigmoid()
    positive = ALPHA * (1 - probability) ** GAMMA * -(probability + 1e-8).log()
    negative = (1 - ALPHA) * probability**GAMMA * -(1 - probability + 1e-8).log()
    cost = cost_class * (positive - negative)[..., truth.labels]
    cost = cost + cost_box * (boxes[:, :, None] - truth.boxes).abs().sum(-1)
    return cost - cost_giou * giou(boxes[:, :, None], truth.boxes)


@torch.no_grad()
def match(logits: Tensor, boxes: Tensor, targets: list[BoxTargets], *costs: float) -> Assignment:
    """One-to-one assignment of least cost, for every layer and image.

    logits (L, B, Q, K), boxes (L, B, Q, 4) cx, cy, w, h in 0..1; ``costs``: class, box and GIoU.
    """
    matrices = [match_costs(logits[:, i], boxes[:, i], truth, *costs) for i, truth in enumerate(targets)]
    # One transfer for all images: the host waits for a GPU once.
    values = torch.cat([matrix.flatten() for matrix in matrices]).cpu()
    values = torch.where(values.isfinite(), values, _NOT_FINITE)
    parts = values.split([matrix.numel() for matrix in matrices])
    pairs = [np.zeros((4, 0), dtype=np.int64)]
    for image, (matrix, part) in enumerate(zip(matrices, parts, strict=True)):
        for layer, cost in enumerate(part.view(matrix.shape).numpy()):
            query, target = linear_sum_assignment(cost)
            pairs.append(np.stack([np.full_like(query, layer), np.full_like(query, image), query, target]))
    return Assignment(*torch.from_numpy(np.concatenate(pairs, axis=1)).to(boxes.device))

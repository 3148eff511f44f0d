"""Set losses of the box head: sigmoid focal loss, L1 and generalised IoU (DINO; Deformable DETR)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ..detr.boxes import giou
from ..detr.matcher import ALPHA, GAMMA
from ..detr.targets import BatchTargets, Pairs


def sigmoid_focal_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Element-wise focal loss (Lin et al. 2017, equation 5)."""
    entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    probability = logits.sigmoid()
    error = probability * (1 - truth) + (1 - probability) * truth
    return (ALPHA * truth + (1 - ALPHA) * (1 - truth)) * entropy * error**GAMMA


def set_losses(
    logits: Tensor,
    boxes: Tensor,
    targets: BatchTargets,
    pairs: Pairs,
    normaliser: Tensor,
    counted: Tensor | None = None,
) -> dict[str, Tensor]:
    """``class``, ``box`` and ``giou`` of each layer, (L,): sums over images and queries, divided by ``normaliser``.

    logits (L, B, Q, K); boxes (L, B, Q, 4) cx, cy, w, h in 0..1. Queries without a pair learn "no class"; only those
    with one have box losses. ``counted`` (Q,): which queries exist at all, None for all.
    """
    layers, images, queries, classes = logits.shape
    query, target, used = pairs
    labels = targets.labels.expand(layers, -1, -1).gather(2, target)
    # Places that hold no pair go to one number too many an image.
    place = (query * classes + labels).where(used, queries * classes)
    truth = logits.new_zeros(layers, images, queries * classes + 1).scatter_(2, place, 1.0)
    focal = sigmoid_focal_loss(logits, truth[..., :-1].unflatten(2, (queries, classes)))
    if counted is not None:
        focal = focal.where(counted[:, None], 0.0)
    four = (-1, -1, -1, 4)
    matched = boxes.gather(2, query[..., None].expand(four))
    true = targets.boxes.expand(layers, *four[1:]).gather(2, target[..., None].expand(four))
    distance, overlap = (matched - true).abs().sum(-1), giou(matched, true)
    return {
        "class": focal.sum((1, 2, 3)) / normaliser,
        "box": distance.where(used, 0.0).sum((1, 2)) / normaliser,
        "giou": (1 - overlap).where(used, 0.0).sum((1, 2)) / normaliser,
    }

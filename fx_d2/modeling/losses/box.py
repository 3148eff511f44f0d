"""Set losses of the box head: sigmoid focal loss, L1 and generalised IoU (DINO; Deformable DETR)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..detr.boxes import giou
from ..detr.denoising import Assignment, BoxTargets
from ..detr.matcher import ALPHA, GAMMA


def sigmoid_focal_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Element-wise focal loss (Lin et al. 2017, equation 5)."""
    entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    probability = logits.sigmoid()
    error = probability * (1 - truth) + (1 - probability) * truth
    return (ALPHA * truth + (1 - ALPHA) * (1 - truth)) * entropy * error**GAMMA


def set_losses(
    logits: Tensor, boxes: Tensor, targets: list[BoxTargets], assignment: Assignment, normaliser: float | Tensor
) -> dict[str, Tensor]:
    """``class``, ``box`` and ``giou``: sums over layers, images and queries, divided by ``normaliser``.

    logits (L, B, Q, K); boxes (L, B, Q, 4) cx, cy, w, h in 0..1. Unmatched queries learn "no class"; only matched ones
    have box losses.
    """
    layer, image, query, target = assignment
    offsets = torch.tensor([0] + [len(truth.labels) for truth in targets]).cumsum(0)
    flat = offsets.to(boxes.device, non_blocking=True)[image] + target
    true_labels = torch.cat([truth.labels for truth in targets])[flat]
    true_boxes = torch.cat([truth.boxes for truth in targets])[flat]
    truth = torch.zeros_like(logits)
    truth[layer, image, query, true_labels] = 1.0
    matched = boxes[layer, image, query]
    return {
        "class": sigmoid_focal_loss(logits, truth).sum() / normaliser,
        "box": (matched - true_boxes).abs().sum() / normaliser,
        "giou": (1 - giou(matched, true_boxes)).sum() / normaliser,
    }

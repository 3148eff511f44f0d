"""Mask losses per channel; pixels marked 255 and channels without a known pixel are left out."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..reduce import global_sum

UNKNOWN = 255


def mask_losses(logits: Tensor, masks: Tensor, flat_dice: bool = False, smooth: float = 1.0) -> tuple[Tensor, Tensor]:
    """Soft Dice and binary cross-entropy.

    Each channel's Dice is 1 - (2 sum(p y) + s) / (sum(p) + sum(y) + s) with the sums over all known pixels of the batch
    (all processes); its cross-entropy is the mean over those pixels. Both are averaged over the channels that
    have a known pixel; a batch without one gives 0.

    Shapes:
        logits (B, K, H, W); masks uint8 (B, K, H, W), 0, 1 or 255 (unknown).
    Args:
        flat_dice: one Dice over all channels together, as the reference trains.

    Returns:
        dice, cross-entropy: scalars.
    """
    known = (masks != UNKNOWN).to(logits.dtype)
    truth = masks.to(logits.dtype) * known
    probability = logits.sigmoid() * known
    entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none") * known
    sums = [(probability * truth), (probability + truth), entropy, known]
    overlap, total, entropy, count = global_sum(torch.stack([part.sum((0, 2, 3)) for part in sums]))  # each (K,)
    if flat_dice:
        dice = 1 - (2 * overlap.sum() + smooth) / (total.sum() + smooth)
    else:
        dice = 1 - (2 * overlap + smooth) / (total + smooth)
    present = (count > 0).to(logits.dtype)
    channels = present.sum().clamp(min=1)
    dice = dice if flat_dice else (dice * present).sum() / channels
    return dice, (entropy / count.clamp(min=1) * present).sum() / channels

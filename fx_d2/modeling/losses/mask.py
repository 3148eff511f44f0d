"""Mask losses per channel; pixels of value 255 and channels without a known pixel do not count."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..reduce import global_sum

UNKNOWN = 255


def mask_losses(logits: Tensor, masks: Tensor, flat_dice: bool = False) -> tuple[Tensor, Tensor]:
    """Soft Dice loss and binary cross-entropy, both scalars.

    The Dice loss of a channel is 1 - (2 sum(p y) + 1) / (sum(p) + sum(y) + 1) over the known pixels of the batch
    (all processes); its cross-entropy is the mean over those pixels. Both are averaged over the channels that have a
    known pixel; a batch without one gives 0. ``flat_dice``: one Dice over all channels, as in the reference.

    Shapes:
        logits (B, K, H, W); masks uint8 (B, K, H, W), 0, 1 or 255 (unknown).
    """
    known = (masks != UNKNOWN).to(logits.dtype)
    truth = masks.to(logits.dtype) * known
    probability = logits.sigmoid() * known
    entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none") * known
    sums = [(probability * truth), (probability + truth), entropy, known]
    overlap, total, entropy, count = global_sum(torch.stack([part.sum((0, 2, 3)) for part in sums]))  # each (K,)
    channels = (count > 0).sum().clamp(min=1)
    if flat_dice:
        dice = 1 - (2 * overlap.sum() + 1) / (total.sum() + 1)
    else:
        # A channel without a known pixel has 0 here, as in the entropy.
        dice = (1 - (2 * overlap + 1) / (total + 1)).sum() / channels
    return dice, (entropy / count.clamp(min=1)).sum() / channels

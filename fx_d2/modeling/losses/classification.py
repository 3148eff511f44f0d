"""Image-level losses; unknown labels (NaN) teach nothing."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..reduce import global_sum


def _mean_over_known(values: Tensor, known: Tensor) -> Tensor:
    """Mean of ``values`` where ``known``, over all processes; 0 with a gradient of 0 if none is known."""
    # Not values[known]: the host would wait for its size.
    total = global_sum(torch.stack([values.where(known, 0.0).sum(), known.sum().to(values.dtype)]))
    return total[0] / total[1].detach().clamp(min=1)


def binary_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Multi-label cross-entropy; logits (B, K); labels (B, K) in 0..1 (soft labels allowed) or NaN for unknown."""
    losses = F.binary_cross_entropy_with_logits(logits, labels.nan_to_num(), reduction="none")
    return _mean_over_known(losses, ~labels.isnan())


def exclusive_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Softmax cross-entropy; logits (B, K); labels (B, K) one-hot, a row with a NaN is unknown as a whole."""
    losses = F.cross_entropy(logits, labels.nan_to_num(), reduction="none")
    return _mean_over_known(losses, ~labels.isnan().any(dim=1))

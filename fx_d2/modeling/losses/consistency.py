"""Consistency between student and teacher features (method.md, section 4)."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor


def consistency_loss(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """Mean over the pairs of their mean squared difference; the teacher's side carries no gradient."""
    losses = [F.mse_loss(s.float(), t.detach().float()) for s, t in zip(student, teacher, strict=True)]
    return sum(losses) / len(losses)

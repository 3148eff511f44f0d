"""Consistency between student and teacher features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..reduce import global_sum


def consistency_loss(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """Mean over the pairs of their mean squared difference over all processes; no gradient on the teacher's side."""
    losses = []
    for s, t in zip(student, teacher, strict=True):
        square = (s.float() - t.detach().float()).square()
        total = global_sum(torch.stack([square.sum(), square.new_full((), square.numel())]))
        losses.append(total[0] / total[1])
    return torch.stack(losses).mean()

"""Box arithmetic on cx, cy, w, h in 0..1."""

from __future__ import annotations

import torch
from torch import Tensor


def both_corners(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """(..., 4) cx, cy, w, h -> x0, y0 and x1, y1, each (..., 2)."""
    centre, size = boxes.split(2, dim=-1)
    half = size / 2
    return centre - half, centre + half


def to_corners(boxes: Tensor) -> Tensor:
    """(..., 4) cx, cy, w, h -> x0, y0, x1, y1."""
    return torch.cat(both_corners(boxes), dim=-1)


def to_centre(corners: Tensor) -> Tensor:
    """(..., 4) x0, y0, x1, y1 -> cx, cy, w, h."""
    low, high = corners.split(2, dim=-1)
    return torch.cat([(low + high) / 2, high - low], dim=-1)


def giou(a: Tensor, b: Tensor) -> Tensor:
    """Generalised IoU (Rezatofighi et al., CVPR 2019) of boxes that broadcast: (..., 4) and (..., 4) -> (...).

    DETR adds 1e-6 to union and hull, which matters for boxes of a few thousandths of the image.
    """
    (low_a, high_a), (low_b, high_b) = both_corners(a), both_corners(b)

    def area(low: Tensor, high: Tensor) -> Tensor:
        width, height = (high - low).clamp(min=0).unbind(-1)  # the gradient of prod() asks the host whether one is 0
        return width * height

    inter = area(torch.maximum(low_a, low_b), torch.minimum(high_a, high_b))
    union = area(low_a, high_a) + area(low_b, high_b) - inter
    hull = area(torch.minimum(low_a, low_b), torch.maximum(high_a, high_b))
    return inter / (union + 1e-6) - (hull - union) / (hull + 1e-6)

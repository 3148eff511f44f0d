"""Box arithmetic on cx, cy, w, h in 0..1."""

from __future__ import annotations

import torch
from torch import Tensor


def to_corners(boxes: Tensor) -> Tensor:
    """(..., 4) cx, cy, w, h -> x0, y0, x1, y1."""
    centre, size = boxes.split(2, dim=-1)
    return torch.cat([centre - size / 2, centre + size / 2], dim=-1)


def to_centre(corners: Tensor) -> Tensor:
    """(..., 4) x0, y0, x1, y1 -> cx, cy, w, h."""
    low, high = corners.split(2, dim=-1)
    return torch.cat([(low + high) / 2, high - low], dim=-1)


def giou(a: Tensor, b: Tensor) -> Tensor:
    """Generalised IoU (Rezatofighi et al., CVPR 2019) of boxes that broadcast: (..., 4) and (..., 4) -> (...).

    DETR adds 1e-6 to union and hull, which matters for boxes of a few thousandths of the image.
    """
    a, b = to_corners(a), to_corners(b)

    def area(low: Tensor, high: Tensor) -> Tensor:
        width, height = (high - low).clamp(min=0).unbind(-1)  # the gradient of prod() asks the host whether one is 0
        return width * height

    inter = area(torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:]))
    union = area(a[..., :2], a[..., 2:]) + area(b[..., :2], b[..., 2:]) - inter
    hull = area(torch.minimum(a[..., :2], b[..., :2]), torch.maximum(a[..., 2:], b[..., 2:]))
    return inter / (union + 1e-6) - (hull - union) / (hull + 1e-6)

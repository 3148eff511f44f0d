"""The region gate of Foundation X+: the network's own boxes damp the features of the mask head away from them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .detr.boxes import to_centre
from .tensor_cache import cache_tensors

# A box of less than SMALL square pixels of the input is taken for one of SIDE x SIDE pixels (as published).
_SMALL, _SIDE = 10.0, 10.0
# The gate falls off around a box as a Gaussian, this many times as wide as the box's longer side (as published).
_SPREAD = 1.5


@cache_tensors
def _pair(x: int, y: int, device: torch.device) -> Tensor:
    return torch.tensor([x, y], dtype=torch.float32, device=device)


@dataclass(frozen=True)
class RegionGate:
    """The keys of ``MODEL.MASK.GATE`` (explained in config/defaults.py); no parameters, no gradient.

    A map F of the mask head becomes F * (1 - strength + strength * M). M (h, w) is 1 inside the boxes of the image,
    falls to 0 around them, and is 1 everywhere where the image has no box.
    """

    when: str = "off"
    strength: float = 0.5
    score: float = 0.3
    growth: float = 1.5
    reference: bool = False

    def active(self, training: bool) -> bool:
        """``training``: in a training step, the teacher's part of it included."""
        return self.when == "always" or (training and self.when == "train")

    def apply(
        self, maps: Mapping[str, Tensor], detections: Mapping[str, Tensor], size: Sequence[int]
    ) -> dict[str, Tensor]:
        """Maps (B, C, h, w) by name -> the gated maps.

        ``detections``: ``tensors`` of the box head on the same images. ``size``: height and width of the input.
        """
        boxes, kept = to_centre(detections["boxes"].float()), detections["scores"] > self.score
        if self.reference:
            # The published code takes centres and sizes for corners once more: few boxes survive, in a wrong place.
            boxes = to_centre(boxes)
        factors = self.factors(boxes, kept, size, [(int(x.shape[-2]), int(x.shape[-1])) for x in maps.values()])
        return {name: x * f[:, None].to(x.dtype) for (name, x), f in zip(maps.items(), factors, strict=True)}

    def factors(
        self, boxes: Tensor, kept: Tensor, size: Sequence[int], shapes: Sequence[tuple[int, int]]
    ) -> list[Tensor]:
        """The factor of every map: (B, h, w) for each (h, w) of ``shapes``.

        Args:
            boxes: (B, N, 4) cx, cy, w, h in 0..1 of the input. kept: (B, N) bool; boxes without area count as not kept.
            size: height and width of the input in pixels.
        """
        kept = kept & (boxes[..., 2:] > 0).all(-1)
        pixels = _pair(size[1], size[0], boxes.device)
        centre, extent = boxes[..., :2] * pixels, boxes[..., 2:] * pixels
        small = extent.prod(-1, keepdim=True) < _SMALL
        half = extent.masked_fill(small, _SIDE) * (math.sqrt(self.growth) / 2)
        low, high = ((centre + sign * half).clamp(min=0).minimum(pixels) / pixels for sign in (-1, 1))
        some = kept.any(1)[:, None, None]
        result = []
        for rows, columns in shapes:
            cells = _pair(columns, rows, boxes.device)
            first, last = low * cells, high * cells  # (B, N, 2): x, y
            sigma = (_SPREAD * (last - first).amax(-1)).clamp(min=1e-3, max=min(rows, columns))
            # exp(-(dx^2 + dy^2) / 2 sigma^2) is a column times a row: one value per box and column or row, not cell.
            x, y = (self._falloff(n, first[..., k], last[..., k], sigma) for k, n in enumerate((columns, rows)))
            mask = (torch.where(kept[..., None], y, 0.0)[..., :, None] * x[..., None, :]).amax(1)
            result.append(1 - self.strength + self.strength * torch.where(some, mask, 1.0))
        return result

    def _falloff(self, count: int, first: Tensor, last: Tensor, sigma: Tensor) -> Tensor:
        """Along one axis, (B, N) -> (B, N, count): 1 at the cells between first and last, or at the nearest one."""
        # A cell lies where its centre lies; the published code takes its upper left corner, half a cell away.
        position = torch.arange(count, device=first.device) + (0.0 if self.reference else 0.5)
        distance = torch.maximum(first[..., None] - position, position - last[..., None]).clamp(min=0)
        exponent = -(distance / sigma[..., None]).square() / 2
        return (exponent - exponent.amax(-1, keepdim=True)).exp()

"""Contrastive denoising: noised copies of the truth as extra queries (DINO, section 3.2)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .layers import inverse_sigmoid


@dataclass
class BoxTargets:
    """Truth of one image: labels int64 (T,), boxes (T, 4) as cx, cy, w, h in 0..1 of the input."""

    labels: Tensor
    boxes: Tensor


@dataclass
class Denoising:
    """Noised queries of a batch.

    Each of ``groups`` groups holds ``width`` positives, then ``width`` negatives (``width``: most boxes of an image of
    the batch; images with fewer are padded). ``labels`` (B, N) and ``boxes`` (B, N, 4) with N = groups * 2 * width.
    """

    labels: Tensor
    boxes: Tensor
    groups: int
    width: int

    def attention_mask(self, queries: int) -> Tensor:
        """bool (N + queries, N + queries), True = blocked: groups see only themselves, queries see no group."""
        n = self.labels.shape[1]
        group = torch.arange(n, device=self.labels.device) // (2 * self.width)
        group = torch.cat([group, group.new_full((queries,), -1)])
        return (group[:, None] != group[None, :]) & (group[None, :] >= 0)

    def positives(self, targets: list[BoxTargets]) -> tuple[Tensor, Tensor, Tensor]:
        """Assignment known by construction: image, query and target index of every positive query."""
        image, query, target = [], [], []
        for i, truth in enumerate(targets):
            index = torch.arange(len(truth.labels), device=self.labels.device)
            starts = torch.arange(self.groups, device=self.labels.device) * 2 * self.width
            query.append((starts[:, None] + index).flatten())
            target.append(index.repeat(self.groups))
            image.append(torch.full_like(query[-1], i))
        return torch.cat(image), torch.cat(query), torch.cat(target)


def noise_boxes(boxes: Tensor, negative: Tensor, scale: float) -> Tensor:
    """Moves each corner by up to half a side (positives) or half to a whole side (negatives), times ``scale``.

    Shapes:
        boxes (..., 4) cx, cy, w, h; negative (...) of 0 or 1.
    """
    centre, side = boxes.split(2, dim=-1)
    corners = torch.cat([centre - side / 2, centre + side / 2], dim=-1)
    half = torch.cat([side, side], dim=-1) / 2
    amount = torch.rand_like(corners) + negative[..., None]
    sign = torch.randint_like(corners, 2) * 2 - 1
    corners = (corners + sign * amount * half * scale).clamp(0, 1)
    low, high = corners.split(2, dim=-1)
    return torch.cat([(low + high) / 2, high - low], dim=-1)


def make_denoising(
    targets: list[BoxTargets], num_classes: int, queries: int, label_noise: float, box_noise: float
) -> Denoising | None:
    """Draws the noised queries; None where the batch has no box.

    Args:
        queries: target number of noised pairs; groups = max(1, queries // most boxes of an image).
        label_noise: a label is replaced by a random class with half this probability.
        box_noise: scale of the box noise.
    """
    width = max((len(truth.labels) for truth in targets), default=0)
    if width == 0 or queries == 0:
        return None
    groups = max(1, queries // width)
    device = targets[0].boxes.device
    labels = torch.zeros(len(targets), width, dtype=torch.int64, device=device)
    boxes = torch.zeros(len(targets), width, 4, device=device)
    for i, truth in enumerate(targets):
        labels[i, : len(truth.labels)] = truth.labels
        boxes[i, : len(truth.labels)] = truth.boxes
    labels = labels.repeat(1, 2 * groups)
    boxes = boxes.repeat(1, 2 * groups, 1)
    negative = (torch.arange(2 * groups, device=device) % 2).repeat_interleave(width).float().expand(labels.shape)
    flipped = torch.rand(labels.shape, device=device) < 0.5 * label_noise
    labels = torch.where(flipped, torch.randint_like(labels, num_classes), labels)
    # Through the logit and back: the decoder's references stay away from 0 and 1, as DINO's do.
    boxes = inverse_sigmoid(noise_boxes(boxes, negative, box_noise)).sigmoid()
    return Denoising(labels, boxes, groups, width)

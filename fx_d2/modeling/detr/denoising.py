"""Contrastive denoising: noised copies of the truth as extra queries (DINO, section 3.2)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .boxes import to_centre, to_corners
from .targets import BatchTargets, Pairs


@dataclass
class Denoising:
    """Noised queries of a batch in S slots, whatever its number of boxes.

    A group holds ``width`` positives, then ``width`` negatives; ``width`` is the largest number of boxes in an image of
    the batch, at least 1. Slots after the last of ``groups`` groups are not ``counted`` (none is in a batch without a
    box): they do not exist for the losses. Those of an image with fewer boxes are not ``used``, as in DINO: they learn
    "no class". The box of both is 0.5 in all four numbers, their content zero.

    Attributes:
        labels, used: (B, S). boxes: (B, S, 4). counted, positive: (S,).
        target: int64 (S,), place of the box in :class:`.targets.BatchTargets`. group: int64 (S,).
        groups, width: int64, of no dimension: values of the batch, which no shape follows.
    """

    labels: Tensor
    boxes: Tensor
    used: Tensor
    counted: Tensor
    positive: Tensor
    target: Tensor
    group: Tensor
    groups: Tensor
    width: Tensor

    def content(self, embedding: nn.Embedding) -> Tensor:
        """Embedded labels (B, S, C), zero in unused slots."""
        return embedding(self.labels) * self.used[..., None]

    def attention_mask(self, queries: int) -> Tensor:
        """bool (S, S + queries), True: may not attend. No noised query attends to another's group."""
        others = self.group.new_zeros(len(self.group), queries, dtype=torch.bool)
        return torch.cat([self.group[:, None] != self.group, others], dim=1)

    def pairs(self, layers: int) -> Pairs:
        """What the positives of all decoder layers learn, which needs no matching."""
        query, used = torch.arange(len(self.target), device=self.target.device), self.used & self.positive
        return Pairs(*(part.expand(layers, *used.shape) for part in (query, self.target, used)))


@dataclass
class NoiseSamples:
    """The random numbers of N noised queries per image.

    Where ``label`` (B, N), uniform in 0..1, is below half the label noise, ``new_label`` (B, N) int64 replaces the
    label. ``corner`` (B, N, 4), uniform in 0..1, and ``sign`` (B, N, 4), -1 or 1: how far and which way x0, y0, x1, y1
    move.
    """

    label: Tensor
    new_label: Tensor
    corner: Tensor
    sign: Tensor

    @classmethod
    def random(cls, batch: int, count: int, num_classes: int, device: torch.device) -> NoiseSamples:
        return cls(
            corner=torch.rand(batch, count, 4, device=device),
            sign=torch.randint(0, 2, (batch, count, 4), device=device) * 2 - 1,
            label=torch.rand(batch, count, device=device),
            new_label=torch.randint(0, num_classes, (batch, count), device=device),
        )


def noise_boxes(boxes: Tensor, negative: Tensor, samples: NoiseSamples, scale: float) -> Tensor:
    """Moves each corner by up to half a side (positives) or half to a whole side (negatives), times ``scale``.

    boxes (B, N, 4) cx, cy, w, h; negative (B, N) of 0 or 1.
    """
    half = boxes[..., 2:].repeat(1, 1, 2) / 2
    moved = to_corners(boxes) + samples.sign * (samples.corner + negative[..., None]) * half * scale
    return to_centre(moved.clamp(0, 1))


def make_denoising(
    targets: BatchTargets,
    num_classes: int,
    queries: int,
    label_noise: float,
    box_noise: float,
    groups: int = 0,
    samples: NoiseSamples | None = None,
) -> Denoising:
    """The noised queries of a batch; a batch without a box has them, too, all unused.

    Args:
        queries: about the number of noised pairs, if ``groups`` is 0. The slots are twice as many, or twice the places
            of the truth where these are more; with ``groups`` those of that many groups of all places.
        label_noise: a random class replaces a label with half this probability. box_noise: scale of the box noise.
    """
    (images, places), device = targets.labels.shape, targets.labels.device
    slot = torch.arange(2 * (groups * places or max(queries, places)), device=device)
    width = targets.valid.sum(1).max().clamp(min=1)
    count = torch.full_like(width, groups) if groups else (queries // width).clamp(min=1)
    target, group, positive = slot % width, slot // (2 * width), slot // width % 2 == 0
    counted = (group < count) & targets.valid.any()
    used = targets.valid[:, target] & counted
    labels, boxes = targets.labels[:, target], targets.boxes[:, target]
    samples = samples or NoiseSamples.random(images, len(slot), num_classes, device)
    labels = torch.where(samples.label < 0.5 * label_noise, samples.new_label, labels)
    boxes = noise_boxes(boxes, (~positive).float().expand(labels.shape), samples, box_noise)
    return Denoising(labels, boxes.where(used[..., None], 0.5), used, counted, positive, target, group, count, width)

"""Contrastive denoising: noised copies of the truth as extra queries (DINO, section 3.2)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .layers import inverse_sigmoid


@dataclass
class BoxTargets:
    """Truth of one image: labels int64 (T,), boxes (T, 4) as cx, cy, w, h in 0..1 of the input."""

    labels: Tensor
    boxes: Tensor


def to_device(targets: list[BoxTargets], device: torch.device) -> list[BoxTargets]:
    """The same on the device, in two transfers for all images."""
    counts = [len(truth.labels) for truth in targets]
    labels = torch.cat([truth.labels for truth in targets]).to(device, non_blocking=True)
    boxes = torch.cat([truth.boxes for truth in targets]).to(device, non_blocking=True)
    return [BoxTargets(*truth) for truth in zip(labels.split(counts), boxes.split(counts), strict=True)]


@dataclass
class Denoising:
    """Noised queries of a batch.

    Each of ``groups`` groups holds ``width`` positives, then ``width`` negatives (``width``: most boxes of an image of
    the batch). ``labels`` (B, N) and ``boxes`` (B, N, 4) with N = groups * 2 * width. Images with fewer boxes leave
    slots unused: ``used`` (B, N) is False there, the box is 0.5 in all four numbers and the content zero, as in DINO.
    """

    labels: Tensor
    boxes: Tensor
    used: Tensor
    groups: int
    width: int

    def content(self, embedding: nn.Embedding) -> Tensor:
        """Embedded labels (B, N, C), zero in unused slots."""
        return embedding(self.labels) * self.used[..., None]

    def logits(self) -> Tensor:
        """The boxes in logit space (B, N, 4), clamped away from 0 and 1 as DINO does before its decoder."""
        return inverse_sigmoid(self.boxes)

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


@dataclass
class NoiseSamples:
    """The random numbers behind N noised queries an image.

    ``label`` (B, N) uniform in 0..1: the label is replaced where it is below half the label noise; ``new_label`` (B, N)
    int64: by this class; ``corner`` (B, N, 4) uniform in 0..1 and ``sign`` (B, N, 4) of -1 and 1: how far and which way
    x0, y0, x1, y1 move.
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

    Shapes:
        boxes (B, N, 4) cx, cy, w, h; negative (B, N) of 0 or 1.
    """
    centre, side = boxes.split(2, dim=-1)
    corners = torch.cat([centre - side / 2, centre + side / 2], dim=-1)
    half = torch.cat([side, side], dim=-1) / 2
    corners = (corners + samples.sign * (samples.corner + negative[..., None]) * half * scale).clamp(0, 1)
    low, high = corners.split(2, dim=-1)
    return torch.cat([(low + high) / 2, high - low], dim=-1)


def make_denoising(
    targets: list[BoxTargets],
    num_classes: int,
    queries: int,
    label_noise: float,
    box_noise: float,
    groups: int = 0,
    samples: NoiseSamples | None = None,
) -> Denoising | None:
    """The noised queries of a batch; None where it has no box.

    Args:
        queries: target number of noised pairs; groups = max(1, queries // most boxes of an image).
        label_noise: a label is replaced by a random class with half this probability.
        box_noise: scale of the box noise.
        groups: their number; 0: from ``queries``.
        samples: the random numbers; drawn here if None.
    """
    width = max((len(truth.labels) for truth in targets), default=0)
    if width == 0 or queries == 0:
        return None
    groups = groups or max(1, queries // width)
    device = targets[0].boxes.device
    labels = torch.zeros(len(targets), width, dtype=torch.int64, device=device)
    boxes = torch.zeros(len(targets), width, 4, device=device)
    for i, truth in enumerate(targets):
        labels[i, : len(truth.labels)] = truth.labels
        boxes[i, : len(truth.labels)] = truth.boxes
    # Not made on the device: that copy would wait for a GPU to finish what it has to do.
    counts = torch.tensor([len(truth.labels) for truth in targets]).to(device, non_blocking=True)
    used = (torch.arange(width, device=device) < counts[:, None]).repeat(1, 2 * groups)
    labels, boxes = labels.repeat(1, 2 * groups), boxes.repeat(1, 2 * groups, 1)
    samples = samples or NoiseSamples.random(labels.shape[0], labels.shape[1], num_classes, device)
    negative = (torch.arange(2 * groups, device=device) % 2).repeat_interleave(width).float().expand(labels.shape)
    labels = torch.where(samples.label < 0.5 * label_noise, samples.new_label, labels)
    boxes = noise_boxes(boxes, negative, samples, box_noise)
    return Denoising(labels, boxes.where(used[..., None], 0.5), used, groups, width)

"""Contrastive denoising: noised copies of the truth as extra queries (DINO, section 3.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from .boxes import to_centre, to_corners


@dataclass
class BoxTargets:
    """Truth of one image: labels int64 (T,), boxes (T, 4) as cx, cy, w, h in 0..1 of the input."""

    labels: Tensor
    boxes: Tensor


class Assignment(NamedTuple):
    """Decoder layer, image, query and target (index within the image) of every matched pair, each int64 (M,)."""

    layer: Tensor
    image: Tensor
    query: Tensor
    target: Tensor


def to_device(targets: list[BoxTargets], device: torch.device) -> list[BoxTargets]:
    """Moves them to the device in two transfers for all images."""
    counts = [len(truth.labels) for truth in targets]
    labels = torch.cat([truth.labels for truth in targets]).to(device, non_blocking=True)
    boxes = torch.cat([truth.boxes for truth in targets]).to(device, non_blocking=True)
    return [BoxTargets(*truth) for truth in zip(labels.split(counts), boxes.split(counts), strict=True)]


@dataclass
class Denoising:
    """Noised queries of a batch: ``labels`` (B, N) and ``boxes`` (B, N, 4) with N = groups * 2 * width.

    Each of ``groups`` groups holds ``width`` positives, then ``width`` negatives; ``width`` is the largest number of
    boxes in an image of the batch. In an image with fewer boxes ``used`` (B, N) is False for the other slots: their box
    is 0.5 in all four numbers and their content zero, as in DINO.
    """

    labels: Tensor
    boxes: Tensor
    used: Tensor
    groups: int
    width: int

    def content(self, embedding: nn.Embedding) -> Tensor:
        """Embedded labels (B, N, C), zero in unused slots."""
        return embedding(self.labels) * self.used[..., None]

    def attention_mask(self, queries: int) -> Tensor:
        """bool (N + queries, N + queries), True: may not attend. No query attends to another's group."""
        n = self.labels.shape[1]
        group = torch.arange(n, device=self.labels.device) // (2 * self.width)
        group = torch.cat([group, group.new_full((queries,), -1)])
        return (group[:, None] != group[None, :]) & (group[None, :] >= 0)

    def positives(self, targets: list[BoxTargets], layers: int) -> Assignment:
        """The assignment of the positive queries of all decoder layers, which needs no matching."""
        slot = np.arange(self.labels.shape[1])
        target, positive = slot % self.width, slot // self.width % 2 == 0
        used = positive & (target < np.array([[len(truth.labels)] for truth in targets]))
        layer, image, query = np.nonzero(np.broadcast_to(used, (layers, *used.shape)))
        pairs = torch.from_numpy(np.stack([layer, image, query, target[query]]))
        return Assignment(*pairs.to(self.labels.device, non_blocking=True))


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
    targets: list[BoxTargets],
    num_classes: int,
    queries: int,
    label_noise: float,
    box_noise: float,
    groups: int = 0,
    samples: NoiseSamples | None = None,
) -> Denoising | None:
    """The noised queries of a batch; None if it has no box.

    Args:
        queries: about the number of noised pairs, if ``groups`` is 0.
        label_noise: a random class replaces a label with half this probability. box_noise: scale of the box noise.
    """
    width = max((len(truth.labels) for truth in targets), default=0)
    if width == 0 or queries == 0:
        return None
    groups = groups or max(1, queries // width)
    device = targets[0].boxes.device
    labels = pad_sequence([truth.labels for truth in targets], batch_first=True).repeat(1, 2 * groups)
    boxes = pad_sequence([truth.boxes for truth in targets], batch_first=True).repeat(1, 2 * groups, 1)
    # torch.tensor(..., device=device) would wait for the GPU.
    counts = torch.tensor([len(truth.labels) for truth in targets]).to(device, non_blocking=True)
    used = (torch.arange(width, device=device) < counts[:, None]).repeat(1, 2 * groups)
    samples = samples or NoiseSamples.random(len(targets), labels.shape[1], num_classes, device)
    negative = (torch.arange(2 * groups, device=device) % 2).repeat_interleave(width).float().expand(labels.shape)
    labels = torch.where(samples.label < 0.5 * label_noise, samples.new_label, labels)
    boxes = noise_boxes(boxes, negative, samples, box_noise)
    return Denoising(labels, boxes.where(used[..., None], 0.5), used, groups, width)

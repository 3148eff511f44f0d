"""Images of several sizes in one batch: what is padding, per token (Deformable DETR, appendix A)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .sampling_tokens import LevelShapes


@dataclass
class Padding:
    """Padding at the right and at the bottom, seen from the levels' tokens.

    Attributes:
        level_masks: bool (B, h, w) per level, True where a cell is padding. token_mask: all levels in a row, (B, S).
        valid_ratios: share of each level's width and height that is image, (B, levels, 2).
    """

    level_masks: tuple[Tensor, ...]
    token_mask: Tensor
    valid_ratios: Tensor

    @classmethod
    def from_pixels(cls, pixels: Tensor, shapes: LevelShapes) -> Padding:
        """From the bool map (B, H, W) of padded pixels; a cell takes the pixel at its upper left corner."""
        masks = tuple(F.interpolate(pixels[:, None].float(), shape)[:, 0].bool() for shape in shapes)
        valid_ratios = torch.stack([extent(mask) / extent(torch.zeros_like(mask)) for mask in masks], dim=1)
        return cls(masks, torch.cat([mask.flatten(1) for mask in masks], dim=1), valid_ratios)


class Levels(NamedTuple):
    """The feature levels: height and width of each, coarsest last; padding where images have several sizes."""

    shapes: LevelShapes
    padding: Padding | None = None


def extent(mask: Tensor) -> Tensor:
    """Columns and rows of each image that are not padding: (B, 2), float."""
    return torch.stack([(~mask[:, 0]).sum(1), (~mask[:, :, 0]).sum(1)], dim=-1).float()


def pad_images(images: list[Tensor]) -> tuple[Tensor, Tensor | None]:
    """Stacks images (C, H, W), padded with zeros at the right and at the bottom: (B, C, H, W).

    The second result is the bool map (B, H, W) of padded pixels, None if all images have one size.
    """
    height, width = (max(image.shape[axis] for image in images) for axis in (1, 2))
    if all(image.shape[1:] == (height, width) for image in images):
        return torch.stack(images), None
    margins = [(0, width - image.shape[2], 0, height - image.shape[1]) for image in images]
    stacked = [F.pad(image, margin) for image, margin in zip(images, margins, strict=True)]
    pixels = [F.pad(torch.zeros_like(x[0]), margin, value=1.0) for x, margin in zip(images, margins, strict=True)]
    return torch.stack(stacked), torch.stack(pixels).bool()

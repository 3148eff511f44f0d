"""Images of several sizes in one batch: what is padding, per token (Deformable DETR, appendix A)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass
class Padding:
    """Padding at the right and at the bottom, seen from the levels' tokens.

    Attributes:
        levels: one bool map (B, h, w) per level, True where a cell is padding; ``tokens``: all levels in a row, (B, S).
        ratios: share of each level's width and height that is image, (B, levels, 2).
    """

    levels: tuple[Tensor, ...]
    tokens: Tensor
    ratios: Tensor

    @classmethod
    def from_pixels(cls, pixels: Tensor, shapes: tuple[tuple[int, int], ...]) -> Padding:
        """From the bool map (B, H, W) of padded pixels; a cell takes the pixel at its upper left corner."""
        levels = tuple(F.interpolate(pixels[:, None].float(), shape)[:, 0].bool() for shape in shapes)
        ratios = torch.stack([extent(level) / extent(torch.zeros_like(level)) for level in levels], dim=1)
        return cls(levels, torch.cat([level.flatten(1) for level in levels], dim=1), ratios)


def extent(level: Tensor) -> Tensor:
    """Columns and rows of each image that are not padding: (B, 2), float."""
    return torch.stack([(~level[:, 0]).sum(1), (~level[:, :, 0]).sum(1)], dim=-1).float()


def pad_images(images: list[Tensor]) -> tuple[Tensor, Tensor | None]:
    """Stacks images (C, H, W), those of smaller size with zeros at the right and at the bottom.

    Returns:
        (B, C, H, W), and the bool map (B, H, W) of padded pixels; None where all have one size.
    """
    height, width = (max(image.shape[axis] for image in images) for axis in (1, 2))
    if all(image.shape[1:] == (height, width) for image in images):
        return torch.stack(images), None
    stacked = images[0].new_zeros(len(images), images[0].shape[0], height, width)
    pixels = torch.ones(len(images), height, width, dtype=torch.bool, device=images[0].device)
    for i, image in enumerate(images):
        stacked[i, :, : image.shape[1], : image.shape[2]] = image
        pixels[i, : image.shape[1], : image.shape[2]] = False
    return stacked, pixels

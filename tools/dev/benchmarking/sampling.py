"""Deformable sampling by all the implementations that the device has, at the sizes of the configured box head."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from fx_d2.modeling.detr.sampling import LevelShapes, ms_deform_attn, sample_levels

from .options import Options
from .others import compared

# Pixels of a cell of the box head's levels, of patches of 4.
STRIDES = (8, 16, 32, 64)


def level_shapes(size: int) -> LevelShapes:
    """Sizes of the maps of images of ``size`` x ``size`` pixels: 28, 14, 7 and 4 at 224."""
    return tuple((-(-size // stride),) * 2 for stride in STRIDES)


def random_inputs(cfg, batch: int, queries: int, device: torch.device) -> list[Tensor]:
    """Value, locations (some outside) and weights, which want gradients; the value in the type of mixed precision."""
    shapes, heads, points = level_shapes(cfg.INPUT.SIZE), cfg.MODEL.BOX.NUM_HEADS, cfg.MODEL.BOX.NUM_POINTS
    type_ = getattr(torch, cfg.SOLVER.AMP.DTYPE) if cfg.SOLVER.AMP.ENABLED else torch.float32
    generator = torch.Generator().manual_seed(0)
    grid = batch, queries, heads, len(shapes), points
    value = torch.randn(batch, sum(h * w for h, w in shapes), heads, cfg.MODEL.BOX.DIM // heads, generator=generator)
    locations = torch.rand(*grid, 2, generator=generator) * 1.2 - 0.1
    weights = torch.rand(grid, generator=generator).flatten(3).softmax(-1).view(grid)
    return [x.to(device).requires_grad_() for x in (value.to(type_), locations, weights)]


def implementations(device: torch.device) -> dict[str, Callable[..., Tensor]]:
    """Names and functions as :func:`ms_deform_attn`; the last is the one that the others are compared with."""
    found = {
        "grid_sample and its gradient": lambda value, *others: sample_levels(value.float(), *others),
        "plain": ms_deform_attn,
    }
    if device.type == "cuda" and importlib.util.find_spec("triton"):
        found["triton"] = partial(ms_deform_attn, implementation="triton")
    return found


def sampling_rows(cfg, options: Options) -> list[dict]:
    """Forward and backward pass of one layer of the encoder (a query a token) and of one of the decoder."""
    device, shapes, box = torch.device(cfg.MODEL.DEVICE), level_shapes(cfg.INPUT.SIZE), cfg.MODEL.BOX
    tokens = sum(h * w for h, w in shapes)
    rows = []
    for layer, queries in (("encoder", tokens), ("decoder", box.NUM_QUERIES + 2 * box.DENOISING.QUERIES)):
        inputs = random_inputs(cfg, options.batch, queries, device)
        gradient = torch.ones(options.batch, queries, box.DIM, device=device)

        def run(
            implementation: Callable[..., Tensor], inputs: list[Tensor] = inputs, gradient: Tensor = gradient
        ) -> None:
            torch.autograd.grad(implementation(inputs[0], shapes, *inputs[1:]), inputs, gradient)

        cases = {
            f"{layer}, {queries} queries: {name}": partial(run, implementation)
            for name, implementation in implementations(device).items()
        }
        rows += compared(cases, list(cases)[-1], options, device)
    return rows

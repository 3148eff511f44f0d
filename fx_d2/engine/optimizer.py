"""AdamW over named parameter groups, and the learning rate as a function of global progress."""

from __future__ import annotations

import math

import torch
from torch import nn

# Embeddings and tables of positions: decaying them pulls them toward "no position".
POSITION_TABLES = ("relative_position_bias_table", "level_embed")


def group_name(parameter_name: str, parameter: nn.Parameter) -> str:
    """``backbone``, ``cls``, ``box`` or ``mask``, with ``/no_decay`` for norms, biases and position tables."""
    parts = parameter_name.split(".")
    part = parts[0] if parts[0] == "backbone" else parts[1]
    decays = parameter.dim() > 1 and parts[-1] not in POSITION_TABLES
    return part if decays else f"{part}/no_decay"


def parameter_groups(model: nn.Module, lr: float, backbone_multiplier: float, weight_decay: float) -> list[dict]:
    """Every parameter of a :class:`FoundationX` in exactly one named group.

    Call it while all is trainable; locking happens later and never touches the groups.
    """
    groups: dict[str, dict] = {}
    for name, parameter in model.named_parameters():
        key = group_name(name, parameter)
        group_lr = lr * (backbone_multiplier if key.startswith("backbone") else 1.0)
        decay = 0.0 if key.endswith("/no_decay") else weight_decay
        group = {"name": key, "params": [], "lr": group_lr, "initial_lr": group_lr, "weight_decay": decay}
        groups.setdefault(key, group)["params"].append(parameter)
    return list(groups.values())


def build_optimizer(cfg, model: nn.Module) -> torch.optim.Optimizer:
    """AdamW, betas 0.9 / 0.999."""
    solver = cfg.SOLVER
    groups = parameter_groups(model, solver.BASE_LR, solver.BACKBONE_MULTIPLIER, solver.WEIGHT_DECAY)
    return torch.optim.AdamW(groups, lr=solver.BASE_LR, betas=(0.9, 0.999), fused=True)


def lr_factor(iteration: int, total: int, warmup_fraction: float, warmup_factor: float) -> float:
    """Linear warm-up from ``warmup_factor`` to 1, then half a cosine to 0 at the end of the run."""
    warmup = round(warmup_fraction * total)
    if iteration < warmup:
        return warmup_factor + (1.0 - warmup_factor) * iteration / warmup
    return 0.5 * (1.0 + math.cos(math.pi * (iteration - warmup) / max(1, total - warmup)))

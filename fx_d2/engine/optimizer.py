"""AdamW over named parameter groups, and the learning rate as a function of global progress."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

# Embeddings and tables of positions: decaying them pulls them toward "no position".
POSITION_TABLES = ("relative_position_bias_table", "level_embed")


def group_name(parameter_name: str, parameter: nn.Parameter) -> str:
    """``backbone``, ``cls``, ``box`` or ``mask``, with ``/no_decay`` for norms, biases and position tables."""
    parts = parameter_name.split(".")
    part = parts[0] if parts[0] == "backbone" else parts[1]
    decays = parameter.dim() > 1 and parts[-1] not in POSITION_TABLES
    return part if decays else f"{part}/no_decay"


# Of the box head, what no optimizer group of the published training holds ...
_NEVER_TRAINED = ("input_proj", "level_embed", "selectors", "memory_projections")
_NEVER_TRAINED_OF_BRANCH = ("label_embed", "proposal_class", "proposal_box")
# ... and, where refinement has heads of its own, neither these.
_NEVER_TRAINED_WITH_REFINEMENT = ("content_queries", "class_head", "box_head")


def reference_group_name(parameter_name: str, refine_heads: bool) -> str | None:
    """The group of a parameter in the published training; None where it has none (SOLVER.REFERENCE_GROUPS)."""
    parts = parameter_name.split(".")
    if parts[0] == "backbone" or parts[1] == "cls" or parts[1:3] == ["box", "norms"]:
        return "backbone"
    if parts[1] != "box":
        return parts[1]
    if parts[2] in _NEVER_TRAINED:
        return None
    idle = _NEVER_TRAINED_OF_BRANCH + (_NEVER_TRAINED_WITH_REFINEMENT if refine_heads else ())
    return None if parts[2] == "branches" and parts[4] in idle else "box"


def parameter_groups(
    model: nn.Module, lr: float, backbone_multiplier: float, weight_decay: float, reference: bool = False
) -> list[dict]:
    """Every parameter of a :class:`FoundationX` in exactly one named group (``reference``: in at most one).

    Call it while all is trainable; locking happens later and never touches the groups.
    """
    groups: dict[str, dict] = {}
    refine_heads = any(".refine_head." in name for name, _ in model.named_parameters())
    for name, parameter in model.named_parameters():
        key = reference_group_name(name, refine_heads) if reference else group_name(name, parameter)
        if key is None:
            continue
        group_lr = lr * (backbone_multiplier if key.startswith("backbone") else 1.0)
        decay = 0.0 if key.endswith("/no_decay") else weight_decay
        group = {"name": key, "params": [], "lr": group_lr, "initial_lr": group_lr, "weight_decay": decay}
        groups.setdefault(key, group)["params"].append(parameter)
    return list(groups.values())


def build_optimizer(cfg, model: nn.Module) -> torch.optim.Optimizer:
    """AdamW, betas 0.9 / 0.999."""
    solver = cfg.SOLVER
    groups = parameter_groups(
        model, solver.BASE_LR, solver.BACKBONE_MULTIPLIER, solver.WEIGHT_DECAY, solver.REFERENCE_GROUPS
    )
    return torch.optim.AdamW(groups, lr=solver.BASE_LR, betas=(0.9, 0.999), fused=True)


def clip_gradients(model: nn.Module, max_norm: float) -> Tensor:
    """Clips the global norm of all gradients to ``max_norm`` (0: no clipping); returns the norm before.

    The norm is computed without clipping, too: it says whether every gradient is finite.
    """
    with_gradient = [p for p in model.parameters() if p.grad is not None]
    norm = nn.utils.get_total_norm([p.grad for p in with_gradient if p.grad is not None])
    if max_norm:
        nn.utils.clip_grads_with_norm_(with_gradient, max_norm, norm)
    return norm


def set_learning_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """``factor`` times the group's ``initial_lr``; a rate that is a tensor (:mod:`.step_graphs`) stays one."""
    for group in optimizer.param_groups:
        rate = factor * group["initial_lr"]
        if isinstance(group.get("lr"), Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def lr_factor(iteration: int, total: int, warmup_fraction: float, warmup_factor: float) -> float:
    """Linear warm-up from ``warmup_factor`` to 1, then half a cosine to 0 at the end of the run."""
    warmup = round(warmup_fraction * total)
    if iteration < warmup:
        return warmup_factor + (1.0 - warmup_factor) * iteration / warmup
    return 0.5 * (1.0 + math.cos(math.pi * (iteration - warmup) / max(1, total - warmup)))

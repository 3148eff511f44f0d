"""From a file's tensors to ours: names, class rows, window sizes; every tensor of both sides is accounted for."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

from .files import State, same_tensor
from .layouts import Layout, Target
from .layouts.base import Source
from .report import LOADED, MISSING, RESIZED, LoadReport
from .safe import CheckpointError

TABLE = "relative_position_bias_table"


def transfer(
    state: State, layout: Layout, target: Target, origin: str, part: str = "student"
) -> tuple[State, LoadReport]:
    """The tensors of the target network that the file holds, and the report.

    A tensor whose shape does not fit is missing, with a remark; only position-bias tables are resized.

    Raises:
        CheckpointError: names that must stand for one tensor hold different values, or a tensor is not finite.
    """
    report = LoadReport(origin, layout.title, part)
    result: State = {}
    used: set[str] = set()
    for name, shape in target.shapes.items():
        count = math.prod(shape)
        source = layout.source(name, target)
        stored = None if source is None else _find(state, source, origin)
        if source is None or stored is None:
            report.rows[name] = (MISSING, count, "")
            continue
        used.update((source.key, *source.aliases))
        tensor, status, remark = _fit(name, stored, shape)
        report.rows[name] = (status, count, remark)
        if tensor is not None:
            if tensor.is_floating_point() and not tensor.isfinite().all():
                raise CheckpointError(f"{origin}: {source.key} holds numbers that are not finite; the file is damaged")
            result[name] = tensor
    for key, tensor in state.items():
        if key not in used:
            report.unused[key] = (tensor.numel(), layout.reason(key))
    return result, report


def _find(state: State, source: Source, origin: str) -> Tensor | None:
    names = [name for name in (source.key, *source.aliases) if name in state]
    if not names:
        return None
    tensor = state[names[0]]
    for alias in names[1:]:
        if not same_tensor(tensor, state[alias]):
            raise CheckpointError(
                f"{origin}: {names[0]} and {alias} must be one tensor and differ; the file is of another architecture"
            )
    if source.rows is None:
        return tensor
    if tensor.dim() == 0 or max(source.rows) >= tensor.shape[0]:
        return None
    return tensor[list(source.rows)]


def _fit(name: str, tensor: Tensor, shape: tuple[int, ...]) -> tuple[Tensor | None, str, str]:
    """The tensor in our shape, what it counts as, and a remark."""
    if tuple(tensor.shape) == shape:
        return tensor.contiguous(), LOADED, ""
    if shape == () and tensor.numel() == 1:  # some writers keep counters as lists of one
        return tensor.reshape(()), LOADED, ""
    if name.endswith(TABLE) and tensor.dim() == 2 and tensor.shape[1] == shape[1]:
        resized = resize_table(tensor, shape[0])
        if resized is not None:
            return resized, RESIZED, ""
    return None, MISSING, f"{name} is {list(shape)} here and {list(tensor.shape)} in the file"


def resize_table(table: Tensor, rows: int) -> Tensor | None:
    """Bicubic interpolation of a Swin position-bias table, as Swin's own fine-tuning does.

    Shapes:
        table ((2 w - 1)^2, heads) -> (rows, heads), rows = (2 v - 1)^2 for a window of v; None where one is no square.
    """
    old, new = round(table.shape[0] ** 0.5), round(rows**0.5)
    if old * old != table.shape[0] or new * new != rows:
        return None
    grid = table.float().T.reshape(1, -1, old, old)
    grid = F.interpolate(grid, (new, new), mode="bicubic", align_corners=False)
    return grid.reshape(-1, rows).T.to(table.dtype).contiguous()

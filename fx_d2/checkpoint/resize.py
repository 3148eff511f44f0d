"""Position-bias tables for another window size."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

TABLE = "relative_position_bias_table"


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

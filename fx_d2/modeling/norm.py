"""Batch normalisation over all processes that also survives a single value per channel."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from detectron2.utils import comm
from torch import Tensor, nn

from .reduce import process_sum


class BatchNorm2d(nn.BatchNorm2d):
    """``nn.BatchNorm2d`` whose statistics are those of the undivided batch over all processes (any back end).

    Where a channel has one value in all (a pooled 1x1 map of a single image) no variance exists: the running
    statistics are used and left alone, as in evaluation; the plain module raises there.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        if comm.get_world_size() == 1:
            if x.numel() == x.shape[1]:
                return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
            return super().forward(x)
        return self._forward_global(x.float()).to(x.dtype)

    def _forward_global(self, x: Tensor) -> Tensor:
        local = torch.cat([x.new_full((1,), x.numel() / x.shape[1]), x.sum((0, 2, 3)), (x * x).sum((0, 2, 3))])
        total = process_sum(local)
        count = total[0].detach()  # two at least: every process has an image; to look would make a GPU's host wait
        mean, square = (total[1:] / count).chunk(2)
        variance = (square - mean * mean).clamp(min=0)
        assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
        assert self.num_batches_tracked is not None
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return x * scale[:, None, None] + (self.bias - mean * scale)[:, None, None]

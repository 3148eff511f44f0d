"""Batch normalisation over all processes that also survives a single value per channel."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from detectron2.utils import comm
from fvcore.nn.distributed import differentiable_all_reduce
from torch import Tensor, nn


class BatchNorm2d(nn.BatchNorm2d):
    """``nn.BatchNorm2d`` with the statistics of the undivided batch over all processes (any back end).

    One value per channel (a pooled 1x1 map of a single image) has no variance: then the running statistics are used and
    not updated, as in evaluation; ``nn.BatchNorm2d`` raises there.
    """

    def forward(self, x: Tensor) -> Tensor:
        if self.training and comm.get_world_size() > 1:
            return self._forward_global(x.float()).to(x.dtype)
        if self.training and x.numel() == x.shape[1]:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(x)

    def _forward_global(self, x: Tensor) -> Tensor:
        local = torch.cat([x.new_full((1,), x.numel() / x.shape[1]), x.sum((0, 2, 3)), (x * x).sum((0, 2, 3))])
        total = differentiable_all_reduce(local)
        count = total[0].detach()  # at least two, as every process has an image; a check would make the host wait
        mean, square = (total[1:] / count).chunk(2)
        variance = (square - mean * mean).clamp(min=0)
        assert self.running_mean is not None and self.running_var is not None
        assert self.momentum is not None and self.num_batches_tracked is not None
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return x * scale[:, None, None] + (self.bias - mean * scale)[:, None, None]

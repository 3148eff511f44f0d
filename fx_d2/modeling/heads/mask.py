"""Masks: pyramid pooling on stage 4, a feature pyramid, one convolution per dataset (UPerNet, Xiao et al. 2018)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..losses.mask import mask_losses
from ..norm import BatchNorm2d
from ..tensor_cache import cache_tensors
from .contract import Batch, TaskHead, UnitClasses, keyword_arguments, stack_targets
from .instances import masks_to_original, present_instances


def conv_norm_relu(in_channels: int, out_channels: int, kernel: int) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, BatchNorm2d(out_channels), nn.ReLU(inplace=True))


def upsample(x: Tensor, size: Sequence[int]) -> Tensor:
    """Bilinear, with aligned corners: at its own size a map stays as it is."""
    if [int(side) for side in x.shape[-2:]] == [int(side) for side in size]:
        return x
    if x.is_cuda:  # of maps that lie channel by channel PyTorch's kernel has a thread a pixel, which does all channels
        x = x.contiguous(memory_format=torch.channels_last)
    return F.interpolate(x, tuple(size), mode="bilinear", align_corners=True)


@cache_tensors
def cell_averages(extent: int, side: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """(side, extent): row i averages the cells from floor(i * extent / side) to ceil((i + 1) * extent / side)."""
    position, cell = torch.arange(extent, device=device), torch.arange(side, device=device)[:, None]
    inside = (position >= cell * extent // side) & (position < -(-(cell + 1) * extent // side))
    return (inside / inside.sum(1, keepdim=True)).to(dtype)


def adaptive_avg_pool2d(x: Tensor, side: int) -> Tensor:
    """(B, C, H, W) -> (B, C, side, side) as two matrix products.

    PyTorch's own has no deterministic gradient on CUDA, and no ONNX form where H or W is not a multiple of ``side``.
    """

    rows, columns = (cell_averages(int(extent), side, x.dtype, x.device) for extent in x.shape[-2:])
    return rows @ x @ columns.T


class PyramidPooling(nn.Module):
    """Context at several grid sizes, concatenated with the map and fused: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int, bins: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.bins = bins
        self.stages = nn.ModuleList(conv_norm_relu(channels, channels // len(bins), 1) for _ in bins)
        self.bottleneck = conv_norm_relu(channels + len(bins) * (channels // len(bins)), channels, 3)
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, x: Tensor) -> Tensor:
        pairs = zip(self.bins, self.stages, strict=True)
        pooled = [upsample(stage(adaptive_avg_pool2d(x, side)), x.shape[-2:]) for side, stage in pairs]
        return self.dropout(self.bottleneck(torch.cat([x, *pooled], dim=1)))


class FeaturePyramid(nn.Module):
    """Fuses the four levels at the resolution and width of stage 1.

    As published: only neighbouring levels are added (no running top-down sum), and one 3x3 convolution smooths all.
    """

    def __init__(self, channels: list[int]) -> None:
        super().__init__()
        width = channels[0]
        self.lateral = nn.ModuleList(nn.Conv2d(c, width, 1) for c in channels[1:])
        self.smooth = nn.Conv2d(width, width, 3, padding=1)
        self.fusion = conv_norm_relu(len(channels) * width, width, 3)

    def laterals(self, maps: list[Tensor]) -> list[Tensor]:
        """The maps of the four stages, finest first, at the pyramid's width."""
        return [maps[0], *(lateral(x) for lateral, x in zip(self.lateral, maps[1:], strict=True))]

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Laterals, finest first -> (B, width, H / 4, W / 4)."""
        pairs = zip(maps, maps[1:], strict=False)
        levels = [self.smooth(upsample(coarse, fine.shape[-2:]) + fine) for fine, coarse in pairs]
        return self.fusion(torch.cat([upsample(x, maps[0].shape[-2:]) for x in (*levels, maps[-1])], dim=1))


class MaskHead(TaskHead):
    """See :mod:`.contract`. Consistency features: L2-normalised stage-4 (raw) and fused maps.

    Args:
        channels: widths of stages 1-4. The keyword arguments are the keys of ``MODEL.MASK`` but GATE.
    """

    def __init__(
        self,
        channels: list[int],
        datasets: Mapping[str, UnitClasses],
        *,
        pool_bins: Sequence[int] = (1, 2, 4, 6),
        dropout: float = 0.1,
        loss_dice: float = 1.0,
        loss_bce: float = 1.0,
        flat_dice: bool = False,
        threshold: float = 0.5,
        components: bool = False,
        compare_lateral: bool = False,
    ) -> None:
        super().__init__()
        self.dice_weight, self.bce_weight, self.flat_dice = loss_dice, loss_bce, flat_dice
        self.threshold, self.components = threshold, components
        self.compare_lateral = compare_lateral
        self.pooling = PyramidPooling(channels[-1], pool_bins, dropout)
        self.pyramid = FeaturePyramid(channels)
        branches = {name: nn.Conv2d(channels[0], len(c.names), 3, padding=1) for name, c in datasets.items()}
        self.branches = nn.ModuleDict(branches)

    @classmethod
    def from_config(cls, cfg, channels: Mapping[str, int], datasets: Mapping[str, UnitClasses]) -> MaskHead:
        keys = {key: value for key, value in cfg.MODEL.MASK.items() if key != "GATE"}  # the gate is the network's
        return cls(list(channels.values()), datasets, **keyword_arguments(keys))

    def trainable_parts(self, dataset: str) -> dict[str, list[str]]:
        return {"head": [f"branches.{dataset}"], "path": ["pooling", "pyramid"]}

    def encode(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """-> ``fused`` (B, C1, H / 4, W / 4) and the coarsest map to compare, ``deep``."""
        maps = list(features.values())
        levels = self.pyramid.laterals([*maps[:-1], self.pooling(maps[-1])])
        deep = levels[-1] if self.compare_lateral else maps[-1]
        return {"deep": deep, "fused": self.pyramid(levels)}

    def consistency(self, encoded: dict[str, Tensor], dataset: str) -> tuple[Tensor, ...]:
        return tuple(F.normalize(encoded[key].float(), dim=1) for key in ("deep", "fused"))

    def logits(self, encoded: dict[str, Tensor], dataset: str, size: Sequence[int]) -> Tensor:
        """-> (B, K, *size), the size of the network's input."""
        logits = self.branches[dataset](encoded["fused"]).float()
        return F.interpolate(logits, tuple(size), mode="bilinear", align_corners=False)

    def truth(self, batch: Batch, device: torch.device) -> Tensor:
        """-> masks uint8 (B, K, H, W)."""
        return stack_targets(batch, "masks", device)

    def finish(
        self, encoded: dict[str, Tensor], dataset: str, masks: Tensor, decision: None = None
    ) -> dict[str, Tensor]:
        dice, entropy = mask_losses(self.logits(encoded, dataset, masks.shape[-2:]), masks, self.flat_dice)
        return {"loss_dice": self.dice_weight * dice, "loss_bce": self.bce_weight * entropy}

    def tensors(self, encoded: dict[str, Tensor], dataset: str, size: int) -> dict[str, Tensor]:
        """-> ``masks`` (B, K, size, size): probabilities on the network's input."""
        return {"masks": self.logits(encoded, dataset, (size, size)).sigmoid()}

    def inference(self, encoded: dict[str, Tensor], dataset: str, batch: Batch) -> list[dict]:
        """-> ``masks`` (K, height, width): probabilities at the original size, and ``instances``."""
        logits = self.logits(encoded, dataset, batch[0]["image"].shape[-2:])
        results = []
        for row, entry in zip(logits, batch, strict=True):
            masks = masks_to_original(row, entry).sigmoid()
            results.append({"masks": masks, "instances": present_instances(masks, self.threshold, self.components)})
        return results

"""Swin Transformer (Liu et al., ICCV 2021) as a Detectron2 backbone.

Parameter names are those of the original release, so that its weights load by name. Inside, maps are (B, H, W, C).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from detectron2.config import configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, Backbone
from torch import Tensor, nn

from . import fused
from .cast_linear import CastLinear, cast_for_gpu
from .checkpointing import run_checkpointed
from .tensor_cache import cache_tensors


def drop_path_scales(rates: Tensor, samples: int) -> Tensor:
    """Stochastic depth (Huang et al., ECCV 2016): rates (blocks,) -> factors (blocks, 2, samples, 1, 1, 1).

    The factor of a residual branch is 0 with the block's rate, else 1 / (1 - rate). One draw for all blocks takes a
    tenth of the operators of a draw in every block.
    """
    rates = rates.view(-1, 1, 1, 1, 1, 1)
    keep = torch.rand(len(rates), 2, samples, 1, 1, 1, device=rates.device) >= rates
    factors = keep / (1.0 - rates)
    device = rates.device.type  # in the type of the branches, once and not in every block
    return factors.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else factors


def window_partition(x: Tensor, window_size: int) -> Tensor:
    """(B, H, W, C) -> (B * windows, window_size * window_size, C); H and W are multiples of ``window_size``."""
    b, h, w, c = x.shape
    x = x.view(b, h // window_size, window_size, w // window_size, window_size, c)
    return x.transpose(2, 3).reshape(-1, window_size * window_size, c)


def window_reverse(windows: Tensor, window_size: int, h: int, w: int) -> Tensor:
    """Inverse of :func:`window_partition`."""
    x = windows.view(-1, h // window_size, w // window_size, window_size, window_size, windows.shape[-1])
    return x.transpose(2, 3).reshape(-1, h, w, windows.shape[-1])


@cache_tensors
def shift_mask(h: int, w: int, window_size: int, shift: tuple[int, int], device: torch.device) -> Tensor:
    """True where two of a shifted window's N tokens come from one region of the image: (windows, N, N)."""
    rows, columns = torch.arange(h, device=device)[:, None], torch.arange(w, device=device)
    # What the shift moved to the end of an axis is a region of its own.
    regions = 2 * (rows >= h - shift[0]).int() + (columns >= w - shift[1]).int()
    regions = window_partition(regions[None, :, :, None], window_size).squeeze(-1)
    return regions[:, :, None] == regions[:, None, :]


def relative_position_index(window_size: int) -> Tensor:
    """Row of the bias table, 0 .. (2 window_size - 1)^2 - 1, for each pair of tokens of a window: (N, N)."""
    grid = torch.stack(torch.meshgrid(torch.arange(window_size), torch.arange(window_size), indexing="ij")).flatten(1)
    offset = grid[:, :, None] - grid[:, None, :] + window_size - 1
    return offset[0] * (2 * window_size - 1) + offset[1]


@lru_cache(maxsize=1)
def load_window_attention() -> Callable[..., Tensor] | None:
    """:func:`.window_attention_triton.window_attention`; None without Triton, which comes with PyTorch for GPUs."""
    try:
        from .window_attention_triton import window_attention
    except ImportError:
        return None
    return window_attention


class WindowAttention(nn.Module):
    """Multi-head self-attention inside windows, with a learned relative position bias."""

    def __init__(self, dim: int, window_size: int, num_heads: int) -> None:
        super().__init__()
        self.window_size, self.num_heads = window_size, num_heads
        self.qkv = CastLinear(dim, 3 * dim)
        self.proj = CastLinear(dim, dim)
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window_size - 1) ** 2, num_heads))
        self.relative_position_index: Tensor
        self.register_buffer("relative_position_index", relative_position_index(window_size), persistent=False)
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """x: (B * windows, N, C); mask: bool (windows, N, N), True where a token may see another."""
        count, n, c = x.shape
        q, k, v = self.qkv(x).view(count, n, 3, self.num_heads, c // self.num_heads).permute(2, 0, 3, 1, 4)
        # On a GPU the gradient of an embedding does not sort the indices, that of indexing does.
        bias = F.embedding(self.relative_position_index, self.relative_position_bias_table).permute(2, 0, 1)
        bias = bias.to(q.dtype)[None]  # (1, heads, N, N)
        if mask is not None:
            bias = bias.masked_fill(~mask[:, None], float("-inf"))  # (windows, heads, N, N)
        if q.is_cuda:
            # Fused attention needs a bias whose rows are dense and a multiple of 16 bytes apart; else it copies the
            # bias or computes plain products in float32.
            bias = F.pad(bias, (0, -n % 8))
        if mask is not None:
            bias = bias.repeat(count // len(mask), 1, 1, 1)
        if q.is_cuda:
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias[..., :n])
        else:  # PyTorch's CPU kernel checks every row of a learned bias: 1.3 times the whole step
            out = ((q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1) + bias).softmax(-1) @ v
        return self.proj(out.transpose(1, 2).reshape(count, n, c))

    def on_map(self, x: Tensor, roll: Sequence[int], shift: Sequence[int], bias: bool = True) -> Tensor:
        """The same on a map (B, H, W, C) of whole windows, by a kernel that rolls, cuts and masks by itself.

        ``roll``: as of :func:`torch.roll`, which it replaces; ``shift``: that of :func:`shift_mask`; ``bias``: whether
        the last product has its bias.
        """
        attention = load_window_attention()
        assert attention is not None
        qkv, table = self.qkv(x), self.relative_position_bias_table
        project = self.proj if bias else self.proj.product
        return project(attention(qkv, table, self.window_size, list(roll), list(shift)))

    @property
    def has_kernel(self) -> bool:
        """Whether :meth:`on_map` can be called: windows up to 16, heads up to 64 wide, Triton installed, no export."""
        fits = self.window_size <= 16 and self.qkv.in_features // self.num_heads <= 64
        return fits and not torch.jit.is_tracing() and load_window_attention() is not None


class SwinBlock(nn.Module):
    """Window attention and MLP, each with pre-norm, residual and stochastic depth."""

    def __init__(
        self,
        dim: int,
        window_size: int,
        num_heads: int,
        shifted: bool,
        mlp_ratio: float,
        shift_single_window: bool = False,
        shift_before_padding: bool = False,
    ) -> None:
        super().__init__()
        self.window_size = window_size
        self.shift = window_size // 2 if shifted else 0
        self.shift_single_window, self.shift_before_padding = shift_single_window, shift_before_padding
        self.norm1 = nn.LayerNorm(dim)
        self.attn = WindowAttention(dim, window_size, num_heads)
        self.norm2 = nn.LayerNorm(dim)
        hidden = int(dim * mlp_ratio)
        self.mlp = nn.ModuleDict({"fc1": CastLinear(dim, hidden), "fc2": CastLinear(hidden, dim)})

    def attend(self, x: Tensor, bias: bool = True) -> Tensor:
        """Pads to whole windows, shifts (timm: in the other order), attends, and undoes both. x: (B, H, W, C).

        ``bias``: False where a kernel adds that of the last product.
        """
        if torch.is_autocast_enabled(x.device.type):  # a GPU's LayerNorm gives float32: twice the bytes to move
            x = x.to(torch.get_autocast_dtype(x.device.type))
        _, h, w, _ = x.shape
        below, right = -h % self.window_size, -w % self.window_size
        height, width = h + below, w + right
        # An axis of one window or less is not shifted, as in the original.
        shift = [self.shift if self.shift_single_window or size > self.window_size else 0 for size in (height, width)]
        back = [-offset for offset in shift]
        before = any(shift) and self.shift_before_padding
        after = any(shift) and not self.shift_before_padding
        x = torch.roll(x, back, (1, 2)) if before else x
        x = F.pad(x, (0, 0, 0, right, 0, below)) if below or right else x
        if fused.on_gpu(x) and self.attn.has_kernel:
            x = self.attn.on_map(x, shift if after else (0, 0), shift, bias)
            if below or right:  # else a slice's gradient would be a copy
                x = x[:, :h, :w]
            return torch.roll(x, shift, (1, 2)) if before else x
        x = torch.roll(x, back, (1, 2)) if after else x
        mask = shift_mask(height, width, self.window_size, tuple(shift), x.device) if any(shift) else None
        x = window_reverse(self.attn(window_partition(x, self.window_size), mask), self.window_size, height, width)
        x = torch.roll(x, shift, (1, 2)) if after else x
        x = x[:, :h, :w]
        return torch.roll(x, shift, (1, 2)) if before else x

    def forward(self, x: Tensor, scales: Tensor | None = None) -> Tensor:
        """x (B, H, W, C); scales (2, B, 1, 1, 1) of the two branches."""
        with cast_for_gpu([self], x.device):
            return self.add_branches(x, scales)

    def add_branches(self, x: Tensor, scales: Tensor | None) -> Tensor:
        branch = self.attend(self.norm1(x))
        x = x + (branch if scales is None else branch * scales[0].to(branch.dtype))
        branch = self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(x))))
        return x + (branch if scales is None else branch * scales[1].to(branch.dtype))


class PatchMerging(nn.Module):
    """Halves the map and doubles the channels; odd sizes are padded by one."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * dim)
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        _, h, w, _ = x.shape
        x = F.pad(x, (0, 0, 0, w % 2, 0, h % 2)) if h % 2 or w % 2 else x
        b, h, w, c = x.shape
        # Four neighbours in the order of the original: (0,0), (1,0), (0,1), (1,1).
        parts = x.view(b, h // 2, 2, w // 2, 2, c).permute(0, 1, 3, 4, 2, 5).reshape(b, h // 2, w // 2, 4 * c)
        return self.reduction(fused.layer_norm(parts, self.norm))


class PatchEmbed(nn.Module):
    """Non-overlapping patches of the image -> normalised tokens (B, H, W, C)."""

    def __init__(self, patch_size: int, in_channels: int, dim: int) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.proj = nn.Conv2d(in_channels, dim, patch_size, patch_size)
        self.norm = nn.LayerNorm(dim)

    def forward(self, images: Tensor) -> Tensor:
        below, right = -images.shape[2] % self.patch_size, -images.shape[3] % self.patch_size
        images = F.pad(images, (0, right, 0, below)) if below or right else images
        return fused.layer_norm(self.proj(images).permute(0, 2, 3, 1), self.norm, torch.float32)


class SwinStage(nn.Module):
    def __init__(self, blocks: list[SwinBlock], downsample: PatchMerging | None) -> None:
        super().__init__()
        self.blocks: Any = nn.ModuleList(blocks)
        self.downsample = downsample

    def forward(self, x: Tensor, scales: Sequence[Tensor | None], checkpoint: bool = False) -> Tensor:
        """The blocks alone. x (B, H, W, C); scales: factors (2, B, 1, 1, 1) of each block's branches, or None."""
        kernels = fused.kernels(x)
        if kernels is None or checkpoint or not all(block.attn.has_kernel for block in self.blocks):
            for block, factors in zip(self.blocks, scales, strict=True):
                x = run_checkpointed(block, x, factors, enabled=checkpoint)
            return x
        mixed = torch.is_autocast_enabled(x.device.type)
        dtype = torch.get_autocast_dtype(x.device.type) if mixed else x.dtype
        with cast_for_gpu(self.blocks, x.device):
            return self._run_fused(x, scales, dtype, kernels)

    def _run_fused(self, x: Tensor, scales: Sequence[Tensor | None], dtype: torch.dtype, kernels: ModuleType) -> Tensor:
        """Each sum with the norm that follows it, over the border of two blocks, too: one pass over memory for both."""
        normed = kernels.layer_norm(x, self.blocks[0].norm1, dtype)
        for i, (block, factors) in enumerate(zip(self.blocks, scales, strict=True)):
            first, second = (None, None) if factors is None else factors.unbind(0)
            fc1, fc2 = block.mlp["fc1"], block.mlp["fc2"]
            branch = block.attend(normed, bias=False)
            x, normed = kernels.add_norm(x, branch, block.attn.proj.bias, first, block.norm2, dtype)
            branch = fc2.product(kernels.bias_gelu(fc1.product(normed), fc1.bias))
            if i == len(self.blocks) - 1:
                x = kernels.add_branch(x, branch, fc2.bias, second)
            else:
                x, normed = kernels.add_norm(x, branch, fc2.bias, second, self.blocks[i + 1].norm1, dtype)
        return x


@BACKBONE_REGISTRY.register()
class FXSwin(Backbone):
    """Images (B, 3, H, W) of any size -> ``{"stage1": ..., "stage4": ...}``, (B, C * 2**i, ceil(H / (4 * 2**i)), ...).

    The maps are not normalised; each head has the norms it needs. The arguments are the keys of ``MODEL.SWIN``.
    """

    @configurable
    def __init__(
        self,
        *,
        patch_size: int = 4,
        in_channels: int = 3,
        embed_dim: int = 128,
        depths: Sequence[int] = (2, 2, 18, 2),
        num_heads: Sequence[int] = (4, 8, 16, 32),
        window_size: int = 7,
        mlp_ratio: float = 4.0,
        drop_path_rate: float = 0.2,
        checkpoint: bool = False,
        shift_single_window: bool = False,
        shift_before_padding: bool = False,
    ) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed(patch_size, in_channels, embed_dim)
        self.use_checkpoint = checkpoint
        self.drops_paths = drop_path_rate > 0
        self.register_buffer("drop_rates", torch.linspace(0, drop_path_rate, sum(depths)), persistent=False)
        self.layers: Any = nn.ModuleList()
        shifting = (shift_single_window, shift_before_padding)
        for stage, (depth, heads) in enumerate(zip(depths, num_heads, strict=True)):
            dim = embed_dim * 2**stage
            blocks = [SwinBlock(dim, window_size, heads, bool(j % 2), mlp_ratio, *shifting) for j in range(depth)]
            self.layers.append(SwinStage(blocks, PatchMerging(dim) if stage < len(depths) - 1 else None))
        self._out_features = [f"stage{i + 1}" for i in range(len(depths))]
        self._out_feature_channels = {name: embed_dim * 2**i for i, name in enumerate(self._out_features)}
        self._out_feature_strides = {name: patch_size * 2**i for i, name in enumerate(self._out_features)}
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    @classmethod
    def from_config(cls, cfg, input_shape: ShapeSpec | None = None) -> dict:
        return {key.lower(): value for key, value in cfg.MODEL.SWIN.items()}

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        x = self.patch_embed(images)
        drop = self.training and self.drops_paths
        count = len(self.drop_rates)
        scales = list(drop_path_scales(self.drop_rates, len(x)).unbind(0)) if drop else [None] * count
        features = {}
        for name, stage in zip(self._out_features, self.layers, strict=True):
            own, scales = scales[: len(stage.blocks)], scales[len(stage.blocks) :]
            x = stage(x, own, self.use_checkpoint)
            features[name] = x.permute(0, 3, 1, 2)
            if stage.downsample is not None:
                x = stage.downsample(x)
        return features

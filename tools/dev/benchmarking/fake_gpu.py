"""Steps on a GPU that is not there: fake CUDA tensors have a device, a shape and a type, and no numbers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.utils import clip_grad

from fx_d2.engine.optimizer import build_optimizer
from fx_d2.engine.precision import Precision
from fx_d2.modeling.heads import box
from fx_d2.modeling.tensor_cache import clear_tensor_caches

from .steps import Bench
from .walk import walk_backward


def fused_attention(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, **_) -> Tensor:
    """What PyTorch chooses on a GPU with a mask or bias; without a GPU it would choose plain products."""
    dtype = torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else query.dtype
    query, key, value = (x.to(dtype) for x in (query, key, value))
    if attn_mask is not None:
        if attn_mask.dtype == torch.bool:
            attn_mask = torch.zeros_like(attn_mask, dtype=dtype).masked_fill_(~attn_mask, float("-inf"))
        attn_mask = attn_mask.to(dtype).expand(*query.shape[:3], key.shape[2])
    saves = torch.is_grad_enabled()
    return torch.ops.aten._scaled_dot_product_efficient_attention(query, key, value, attn_mask, saves)[0]


def no_assignment(costs: Tensor) -> Tensor:
    """In place of :func:`assign <fx_d2.modeling.detr.matcher.assign>`, the host's part of a step."""
    return torch.zeros(costs.shape[:3], dtype=torch.int64)


@contextlib.contextmanager
def on_fake_gpu(bench: Bench) -> Iterator[None]:
    """Inside the block steps of ``bench`` run in mixed precision on fake CUDA tensors; afterwards it is of no use."""
    overwrites = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    clear_tensor_caches()
    patches = (
        mock.patch.object(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False),
        mock.patch.object(torch.cuda, "is_bf16_supported", lambda *_: True),
        mock.patch.object(torch.cuda, "device_of", lambda *_: contextlib.nullcontext()),
        mock.patch.object(clip_grad, "_has_foreach_support", lambda *_: True),
        mock.patch.object(F, "scaled_dot_product_attention", fused_attention),
        mock.patch.object(Tensor, "backward", walk_backward),
        mock.patch.object(box, "assign", no_assignment),
    )
    try:
        with contextlib.ExitStack() as stack:
            fake = stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
            for patch in patches:
                stack.enter_context(patch)
            for network in (bench.student, bench.teacher):
                network._apply(lambda tensor: fake.from_tensor(tensor).to("cuda"))
            bench.optimizer = build_optimizer(bench.cfg, bench.student)
            bench.precision = Precision("cuda", True, bench.cfg.SOLVER.AMP.DTYPE)
            yield
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(overwrites)
        clear_tensor_caches()  # a later step must not meet fake tensors

"""A training forward on a GPU that is not there: PyTorch's fake tensors have a device and a shape, and no numbers.

An operation between tensors of two devices fails, and so does one whose result's size or value the host would wait for,
and a copy to the device that waits for everything that the GPU still has to do. The assignment, which does wait, is
left out.
"""

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from fx_d2.modeling import backbone
from fx_d2.modeling.detr import attention, encoder, selection
from fx_d2.modeling.detr.layers import level_positions
from fx_d2.modeling.heads import box
from tests.tiny import make_batch, make_model


@pytest.fixture
def overwritten_parameters():
    """Fake weights in place of a network's; a later test must not meet cached fake tensors."""
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    yield
    torch.__future__.set_overwrite_module_params_on_conversion(before)
    caches = backbone.shift_mask, encoder.cell_centres, selection.grid_proposals, level_positions, attention.level_sides
    for cache in caches:
        cache.cache_clear()


def no_assignment(costs):
    """Of the right shape; :func:`.matcher.assign` computes with numbers."""
    assert costs.device.type == "cpu"
    return torch.zeros(costs.shape[:3], dtype=torch.int64)


class NoBlockingCopies(TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        made = func in (torch.tensor, torch.as_tensor, Tensor.new_tensor)
        moved = func in (Tensor.to, Tensor.cuda) and args[0].device.type == "cpu" and not kwargs.get("non_blocking")
        assert not ((made or moved) and out.device.type == "cuda"), f"{func.__name__} waits for the GPU"
        return out


@pytest.mark.parametrize("unit", ["two/cls", "two/box", "two/mask"])
def test_everything_is_on_the_gpu_and_nothing_waits(unit, overwritten_parameters, monkeypatch):
    monkeypatch.setattr(box, "assign", no_assignment)
    model, batch = make_model(drop_path=0.1).train(), make_batch(unit)
    with FakeTensorMode(allow_non_fake_inputs=True) as fake:
        model._apply(lambda tensor: fake.from_tensor(tensor).to("cuda"))
        model(batch)  # fills the caches
        with NoBlockingCopies():
            losses = model(batch, teacher=model.consistency_features(batch))
    assert all(loss.device.type == "cuda" and loss.shape == () for loss in losses.values())
    assert "loss_consistency" in losses


class OperatorNames(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.found = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.found.add(func.name().split(".")[0])
        return func(*args, **(kwargs or {}))


# Their gradients, or they themselves, add in any order on a GPU (PyTorch's list of torch.use_deterministic_algorithms).
DISORDERLY = {"aten::upsample_bilinear2d", "aten::grid_sampler_2d", "aten::_adaptive_avg_pool2d", "aten::cumsum"}


@pytest.mark.parametrize("unit", ["two/cls", "two/box", "two/mask"])
def test_deterministic_kernels_leave_nothing_that_adds_in_any_order(unit, overwritten_parameters, monkeypatch):
    monkeypatch.setattr(box, "assign", no_assignment)
    model, batch, found = make_model().train(), make_batch(unit), []
    with FakeTensorMode(allow_non_fake_inputs=True) as fake:
        model._apply(lambda tensor: fake.from_tensor(tensor).to("cuda"))
        model(batch)  # fills the caches
        for wanted in (True, False):
            torch.use_deterministic_algorithms(wanted)
            try:
                with OperatorNames() as names:
                    model(batch)
            finally:
                torch.use_deterministic_algorithms(False)
            found.append(names.found)
    assert not found[0] & DISORDERLY
    if unit == "two/box":
        assert "fx_d2::sample_forward" in found[0]
    if unit == "two/mask":
        assert "aten::upsample_bilinear2d" in found[1]  # the names above are right


@pytest.mark.parametrize("shifted", [False, True])
def test_attention_gets_a_bias_that_fused_kernels_take(shifted, overwritten_parameters, monkeypatch):
    """Dense rows, a multiple of eight numbers apart: windows of 7 have rows of 49."""
    monkeypatch.setattr(backbone, "load_window_attention", lambda: None)  # as without Triton
    masks, fused = [], torch.nn.functional.scaled_dot_product_attention
    monkeypatch.setattr(
        torch.nn.functional,
        "scaled_dot_product_attention",
        lambda *args, attn_mask: masks.append(attn_mask) or fused(*args, attn_mask=attn_mask),
    )
    block = backbone.SwinBlock(32, 7, 4, shifted, 4.0)
    with FakeTensorMode(allow_non_fake_inputs=True) as fake:
        block._apply(lambda tensor: fake.from_tensor(tensor).to("cuda"))
        block(torch.empty(2, 14, 14, 32, device="cuda"))
    (bias,) = masks
    assert bias.shape == ((8, 4, 49, 49) if shifted else (1, 4, 49, 49))
    assert bias.stride() == (4 * 49 * 56, 49 * 56, 56, 1)


def test_windows_are_cut_in_the_type_of_the_products(overwritten_parameters, monkeypatch):
    """On a GPU autocast's LayerNorm gives float32; rolling and cutting that would move twice the bytes."""
    monkeypatch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_: True)
    block, seen = backbone.SwinBlock(32, 7, 4, True, 4.0), []
    block.norm1.register_forward_hook(lambda *arguments: seen.append(arguments[-1].dtype))
    block.attn.qkv.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].dtype))
    with FakeTensorMode(allow_non_fake_inputs=True) as fake:
        block._apply(lambda tensor: fake.from_tensor(tensor).to("cuda"))
        with torch.autocast("cuda", torch.bfloat16):
            out = block(torch.empty(2, 14, 14, 32, device="cuda"))
    assert seen == [torch.float32, torch.bfloat16] and out.dtype == torch.float32

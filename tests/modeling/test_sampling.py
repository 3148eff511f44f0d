"""The sampling implementations agree: values and gradients beside the plain one; test_detr.py has the loop."""

import sys

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from fx_d2.modeling.detr import sampling
from fx_d2.modeling.detr.attention import DeformableAttention
from fx_d2.modeling.detr.sampling import level_gradients, load_triton, ms_deform_attn, sample_levels
from fx_d2.modeling.detr.sampling_tokens import corners, token_gradients
from fx_d2.modeling.heads.box import BoxHead, BoxOptions
from tests.tiny import CLASSES, OPTIONS

SHAPES = ((5, 7), (3, 4), (2, 2))


def case(device: str = "cpu"):
    """Value, locations (a third outside) and weights that have gradients; locations on whole cells and edges, too."""
    generator = torch.Generator().manual_seed(0)
    b, queries, heads, d, points = 2, 9, 3, 4, 2
    value = torch.randn(b, sum(h * w for h, w in SHAPES), heads, d, generator=generator)
    locations = torch.rand(b, queries, heads, len(SHAPES), points, 2, generator=generator) * 1.6 - 0.3
    locations[0, 0], locations[0, 1], locations[0, 2] = 0.0, 1.0, 0.5
    weights = torch.rand(b, queries, heads, len(SHAPES) * points, generator=generator).softmax(-1)
    tensors = value, locations, weights.view(b, queries, heads, len(SHAPES), points)
    return [tensor.to(device).requires_grad_() for tensor in tensors]


def test_values_equal_grid_sample():
    value, locations, weights = case()
    expected, actual = (f(value, SHAPES, locations, weights) for f in (sample_levels, ms_deform_attn))
    torch.testing.assert_close(actual, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("gradients", [token_gradients, level_gradients])
def test_gradients_equal_grid_sample(gradients):
    value, locations, weights = case()
    plain = sample_levels(value, SHAPES, locations, weights)
    gradient = torch.randn(plain.shape, generator=torch.Generator().manual_seed(1))
    expected = torch.autograd.grad(plain, (value, locations, weights), gradient)
    with torch.no_grad():
        actual = gradients(gradient, value, SHAPES, locations, weights)
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)


def test_gradients_at_the_centres_of_cells():
    """There they jump, so both implementations must choose the same cell of the two: places are rounded alike."""
    value, _, weights = case()
    cell = torch.randint(-1, 8, (2, 9, 3, len(SHAPES), 2, 2), generator=torch.Generator().manual_seed(0))
    locations = ((cell + 0.5) / torch.tensor([(w, h) for h, w in SHAPES])[:, None]).requires_grad_()
    implementations = [f(value, SHAPES, locations, weights).square().sum() for f in (sample_levels, ms_deform_attn)]
    expected, actual = (torch.autograd.grad(total, locations)[0] for total in implementations)
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-5)


def test_the_corners_of_one_location_by_hand():
    """Second of two heads on the second of two levels (2 x 3 after 1 x 1): x = 0.6 * 3 - 0.5 = 1.3, y = 0.1 * 2 - 0.5 =
    -0.3, so the row above is outside; tokens 1 + (0, 1, 2), two rows of value each."""
    locations = torch.tensor([0.6, 0.1]).expand(1, 1, 2, 2, 1, 2)
    actual = corners(((1, 1), (2, 3)), locations)
    assert actual.rows[1, :, 1].tolist() == [2 * (1 + 1) + 1, 2 * (1 + 2) + 1] * 2
    torch.testing.assert_close(actual.weights[1, :, 1], torch.tensor([0.0, 0.0, 0.7 * 0.7, 0.3 * 0.7]))


def test_bfloat16_is_sampled_in_float32():
    value, locations, weights = case()
    out = ms_deform_attn(value.bfloat16(), SHAPES, locations, weights)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, sample_levels(value.bfloat16().float(), SHAPES, locations, weights))
    (gradient,) = torch.autograd.grad(out.sum(), value)
    assert gradient.dtype == torch.float32


def test_a_frozen_memory_needs_no_gradient():
    value, locations, weights = case()
    out = ms_deform_attn(value.detach(), SHAPES, locations, weights)
    plain = sample_levels(value.detach(), SHAPES, locations, weights)
    actual, expected = (torch.autograd.grad(x.sum(), (locations, weights)) for x in (out, plain))
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)


def test_only_the_inputs_are_saved():
    """The graph holds value, locations and weights, and nothing that grows with samples times D."""
    value, locations, weights = case()
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: saved.append(x.numel()) or x, lambda x: x):
        ms_deform_attn(value, SHAPES, locations, weights)
    assert sorted(saved) == sorted([value.numel(), locations.numel(), weights.numel()])


def test_each_model_has_its_own_implementation():
    channels = {f"stage{i}": 8 for i in (1, 2, 3, 4)}
    for implementation in ("triton", "plain"):
        head = BoxHead(channels, CLASSES, BoxOptions(sampling=implementation, **OPTIONS))
        used = [module.sampling for module in head.modules() if isinstance(module, DeformableAttention)]
        assert used == [implementation] * (2 + 2 * 3)  # encoder; a decoder for each dataset


def test_auto_is_triton_on_a_gpu_with_the_package(monkeypatch):
    monkeypatch.setattr(sampling, "load_triton", lambda device: lambda *_: f"triton on {device.type}")
    monkeypatch.setattr(sampling, "has_triton", lambda: True)
    assert torch.is_tensor(ms_deform_attn(case()[0], SHAPES, *case()[1:]))
    with FakeTensorMode():
        tensors = [torch.empty(x.shape, device="cuda") for x in case()]
        assert ms_deform_attn(tensors[0], SHAPES, *tensors[1:]) == "triton on cuda"
        monkeypatch.setattr(sampling, "has_triton", lambda: False)
        assert torch.is_tensor(ms_deform_attn(tensors[0], SHAPES, *tensors[1:]))


def test_triton_without_a_gpu_or_the_package_is_refused(monkeypatch):
    with pytest.raises(ValueError, match="MODEL.BOX.SAMPLING triton runs on CUDA, not on cpu; set it to plain"):
        ms_deform_attn(case()[0], SHAPES, *case()[1:], implementation="triton")
    monkeypatch.setitem(sys.modules, "triton", None)
    monkeypatch.delitem(sys.modules, "fx_d2.modeling.detr.sampling_triton", raising=False)
    with pytest.raises(ValueError, match="MODEL.BOX.SAMPLING triton: .*triton.* install triton"):
        load_triton(torch.device("cuda"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_gpu_gives_what_the_cpu_gives():
    results = []
    for device in ("cpu", "cuda"):
        tensors = case(device)
        out = ms_deform_attn(tensors[0], SHAPES, *tensors[1:])
        results.append([x.cpu() for x in (out, *torch.autograd.grad(out.square().sum(), tensors))])
    torch.testing.assert_close(*results, atol=1e-4, rtol=1e-4)

"""Deformable sampling by the Triton kernels on a GPU, against the plain implementation on the CPU and on the GPU.

Without a GPU the kernels are interpreted and compiled: ``tests/modeling/test_sampling_triton.py``.
"""

import pytest
import torch

from fx_d2.modeling.detr.attention import DeformableAttention
from fx_d2.modeling.detr.sampling import ms_deform_attn
from tests.tiny import make_batch, make_model

pytest.importorskip("triton")
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
# The four levels of the box head at 224.
SHAPES = ((28, 28), (14, 14), (7, 7), (4, 4))


def case(device: str, queries: int, d: int = 32, dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    """Value, locations (one image in part outside, one at centres of cells), weights."""
    generator = torch.Generator().manual_seed(0)
    b, heads, levels, points = 3, 8, len(SHAPES), 4
    value = torch.randn(b, sum(h * w for h, w in SHAPES), heads, d, generator=generator).to(dtype)
    locations = torch.rand(b, queries, heads, levels, points, 2, generator=generator)
    locations[1] = locations[1] * 1.6 - 0.3
    cell = torch.randint(-1, 29, locations[2].shape, generator=generator)
    locations[2] = (cell + 0.5) / torch.tensor([(w, h) for h, w in SHAPES])[:, None]
    weights = torch.rand(b, queries, heads, levels * points, generator=generator).softmax(-1)
    weights = weights.view(b, queries, heads, levels, points)
    return [tensor.to(device).requires_grad_() for tensor in (value, locations, weights)]


def run(tensors: list[torch.Tensor], implementation: str) -> list[torch.Tensor]:
    """Result and the three gradients, on the CPU."""
    out = ms_deform_attn(tensors[0], SHAPES, *tensors[1:], implementation)
    gradient = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).to(out.device)
    return [tensor.cpu() for tensor in (out, *torch.autograd.grad(out, tensors, gradient))]


@pytest.mark.parametrize(("queries", "d"), [(1045, 32), (1100, 32), (37, 20), (1, 64)])
def test_values_and_gradients_of_the_cpu(queries, d):
    """Places are rounded alike, so the gradients agree at the centres of cells, too, where they jump."""
    actual, expected = run(case("cuda", queries, d), "triton"), run(case("cpu", queries, d), "plain")
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_half_value_is_rounded_at_the_ends_alone(dtype):
    """The result is as close as in float32; the gradient of the value is rounded once (bfloat16: 8 bits)."""
    actual, expected = (run(case("cuda", 300, dtype=dtype), implementation) for implementation in ("triton", "plain"))
    assert actual[1].dtype == dtype
    torch.testing.assert_close(actual[0], expected[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(actual[1].float(), expected[1].float(), atol=1e-3, rtol=2**-7)


def test_nothing_but_the_inputs_is_saved():
    tensors = case("cuda", 1045)
    ms_deform_attn(tensors[0], SHAPES, *tensors[1:], "triton")  # compiles, and puts the sizes of the levels on the GPU
    before = torch.cuda.memory_allocated()
    out = ms_deform_attn(tensors[0], SHAPES, *tensors[1:], "triton")
    assert torch.cuda.memory_allocated() - before <= out.numel() * 4 + 512  # a block is a multiple of 512 bytes


def test_a_step_of_the_network():
    """Loss and gradients of a box step, all other parts being the same; no offset leads to a cell's centre, where
    PyTorch's own kernel may take the gradient of the other side."""
    results = []
    for implementation in ("plain", "triton"):
        model = make_model().cuda().train()
        for module in model.modules():
            if isinstance(module, DeformableAttention):
                module.sampling = implementation
                torch.nn.init.uniform_(module.sampling_offsets.bias, -2, 2)  # alike in both: make_model sets the seed
        torch.manual_seed(0)
        total = sum(model(make_batch("two/box")).values())
        total.backward()
        results.append(
            (total.detach(), torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
        )
    (loss, expected), (other_loss, actual) = results
    torch.testing.assert_close(other_loss, loss, atol=1e-4, rtol=1e-4)
    assert (actual - expected).norm() < 1e-3 * expected.norm()

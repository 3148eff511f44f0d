"""The Triton kernels under Triton's interpreter, values and gradients against ``grid_sample``.

The interpreter is chosen when Triton is imported, so ``test_sampling_triton.py`` runs this file in its own process; the
file's name keeps pytest from collecting it.
"""

import pytest
import torch

from fx_d2.modeling.detr.sampling import sample_levels
from fx_d2.modeling.detr.sampling_triton import sample_triton

LEVELS = ((5, 7), (3, 4), (1, 2))
# heads, D, points, levels, queries: D of no power of two, one level, two blocks of queries, D above a block.
SMALL = (2, 4, 1, LEVELS[:1], 5)
SIZES = [(3, 4, 2, LEVELS, 9), (2, 20, 3, LEVELS[:1], 19), (1, 1, 1, LEVELS, 600), (1, 520, 1, LEVELS[2:], 3)]


def case(heads: int, d: int, points: int, shapes: tuple[tuple[int, int], ...], queries: int) -> list[torch.Tensor]:
    """Value, locations (inside, on edges, centres of cells, a little and far outside) and weights, with gradients."""
    generator = torch.Generator().manual_seed(0)
    b, levels = 2, len(shapes)
    value = torch.randn(b, sum(h * w for h, w in shapes), heads, d, generator=generator)
    locations = torch.rand(b, queries, heads, levels, points, 2, generator=generator) * 1.6 - 0.3
    locations[0, 0], locations[0, 1], locations[0, 2] = 0.0, 1.0, 1e6
    cell = torch.randint(-1, 8, (queries, heads, levels, points, 2), generator=generator)
    locations[1] = (cell + 0.5) / torch.tensor([(w, h) for h, w in shapes])[:, None]
    weights = torch.rand(b, queries, heads, levels, points, generator=generator)
    return [tensor.requires_grad_() for tensor in (value, locations, weights)]


@pytest.mark.parametrize("sizes", SIZES, ids=lambda sizes: f"D{sizes[1]}")
def test_values_and_gradients_equal_grid_sample(sizes):
    tensors = case(*sizes)
    plain, out = (sample(tensors[0], sizes[3], *tensors[1:]) for sample in (sample_levels, sample_triton))
    torch.testing.assert_close(out, plain, atol=1e-6, rtol=1e-5)
    gradient = torch.randn(plain.shape, generator=torch.Generator().manual_seed(1))
    expected, actual = (torch.autograd.grad(x, tensors, gradient) for x in (plain, out))
    torch.testing.assert_close(actual, expected, atol=2e-5, rtol=1e-5)


def test_bfloat16_is_rounded_at_the_ends_alone():
    """The value's own rounding is in both, so the result is as close as in float32; the gradient is rounded once."""
    value, locations, weights = case(2, 8, 1, LEVELS[:1], 9)
    rough = value.detach().bfloat16().requires_grad_()
    out, plain = (
        sample(x, LEVELS[:1], locations, weights)
        for sample, x in ((sample_triton, rough), (sample_levels, rough.float()))
    )
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, plain, atol=1e-6, rtol=1e-5)
    (actual,), (expected,) = (torch.autograd.grad(x.square().sum(), rough) for x in (out, plain))
    assert actual.dtype == torch.bfloat16
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=2**-7)


@pytest.fixture
def deterministic():
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def value_gradient(sample, tensors, gradient):
    return torch.autograd.grad(sample(tensors[0], SMALL[3], *tensors[1:]), tensors[0], gradient)[0]


@pytest.mark.parametrize("magnitude", [1e-30, 1e30])
def test_whole_numbers_give_the_gradient_in_any_order(magnitude, deterministic):
    """Queries in another order add to the tokens in another order. Values as from ``grid_sample``, in double."""
    tensors, generator = case(*SMALL), torch.Generator().manual_seed(1)
    gradient = magnitude * torch.randn(2, SMALL[4], 2 * 4, generator=generator)
    order = torch.randperm(SMALL[4], generator=generator)
    found = value_gradient(sample_triton, tensors, gradient)
    shuffled = [tensors[0], *(tensor[:, order] for tensor in tensors[1:])]
    assert torch.equal(value_gradient(sample_triton, shuffled, gradient[:, order]), found)
    expected = value_gradient(sample_levels, [x.detach().double().requires_grad_() for x in tensors], gradient.double())
    torch.testing.assert_close(found.double() / magnitude, expected / magnitude, atol=2e-5, rtol=1e-5)


def test_a_gradient_that_is_not_finite_stays_so(deterministic):
    gradient = torch.zeros(2, SMALL[4], 2 * 4)
    gradient[0, 0, 0] = float("inf")
    assert not value_gradient(sample_triton, case(*SMALL), gradient).isfinite().any()


def test_only_the_inputs_are_saved():
    tensors, saved = case(*SIZES[0]), []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: saved.append(x.data_ptr()) or x, lambda x: x):
        sample_triton(tensors[0], LEVELS, *tensors[1:])
    assert saved == [tensor.data_ptr() for tensor in tensors]
    with pytest.raises(ValueError, match="do not fit"):
        sample_triton(tensors[0], LEVELS[:2], *tensors[1:])

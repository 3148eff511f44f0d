"""The Triton kernels between a Swin block's products under Triton's interpreter, against plain PyTorch.

As ``interpreted_sampling.py``: another test runs this file in a process of its own.
"""

import pytest
import torch
import torch.nn.functional as F

from fx_d2.modeling import backbone, block_triton, fused
from fx_d2.modeling.detr import layers

# batch, rows of an image, width: odd ones, more rows than a tile has, one wider than 1024
SHAPES = [(2, 5, 24), (3, 40, 128), (1, 3, 1100), (5, 61, 40)]


def norm_of(width):
    norm = torch.nn.LayerNorm(width)
    torch.nn.init.normal_(norm.weight, 1.0, 0.3)
    torch.nn.init.normal_(norm.bias, 0.0, 0.3)
    return norm


def agree(found, expected, tensors, tolerance=1e-4):
    """Values, and gradients of a random weighting of all results."""
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    weights = [torch.randn(x.shape) for x in expected]
    gradients = [
        torch.autograd.grad(sum((x * w).sum() for x, w in zip(out, weights, strict=True)), tensors)
        for out in (found, expected)
    ]
    torch.testing.assert_close(*gradients, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("factors", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_sum_and_its_norm(shape, factors, monkeypatch):
    monkeypatch.setattr(block_triton, "_PROGRAMS", 3)  # programs have several tiles
    torch.manual_seed(0)
    norm, bias = norm_of(shape[2]), torch.randn(shape[2], requires_grad=True)
    x, branch = (torch.randn(shape, requires_grad=True) for _ in range(2))
    factor = (torch.rand(shape[0], 1, 1) > 0.4) / 0.6 if factors else None
    total = x + (branch + bias) * (1.0 if factor is None else factor)
    found = block_triton.add_norm(x, branch, bias, factor, norm, torch.float32)
    tensors = [x, branch, bias, norm.weight, norm.bias]
    agree(found, (total, F.layer_norm(total, shape[2:], norm.weight, norm.bias)), tensors)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_sum_alone_and_the_norm_alone(shape):
    torch.manual_seed(0)
    norm, bias = norm_of(shape[2]), torch.randn(shape[2], requires_grad=True)
    x, branch = (torch.randn(shape, requires_grad=True) for _ in range(2))
    factor = torch.rand(shape[0])
    agree(
        [block_triton.add_branch(x, branch, bias, factor)],
        [x + (branch + bias) * factor[:, None, None]],
        [x, branch, bias],
    )
    expected = F.layer_norm(x, shape[2:], norm.weight, norm.bias)
    agree([block_triton.layer_norm(x, norm, torch.float32)], [expected], [x, norm.weight, norm.bias])


def test_a_result_that_nobody_reads_has_no_gradient():
    norm, bias = norm_of(8), torch.randn(8, requires_grad=True)
    x, branch = (torch.randn(2, 3, 8, requires_grad=True) for _ in range(2))
    total = x + branch + bias
    for part, expected in enumerate((total, F.layer_norm(total, [8], norm.weight, norm.bias))):
        found = block_triton.add_norm(x, branch, bias, None, norm, torch.float32)[part]
        pairs = [torch.autograd.grad(out.square().sum(), [x, branch, bias]) for out in (found, expected)]
        torch.testing.assert_close(*pairs, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("shape", [*SHAPES, (2, 70, 300)])
def test_bias_and_gelu(shape, monkeypatch):
    monkeypatch.setattr(block_triton, "_PROGRAMS", 3)
    torch.manual_seed(0)
    x, bias = torch.randn(shape, requires_grad=True), torch.randn(shape[2], requires_grad=True)
    agree([block_triton.bias_gelu(x, bias)], [F.gelu(x + bias)], [x, bias])


def test_half_precision_is_computed_in_float32_and_stays_half():
    """Triton 3.8's interpreter multiplies bfloat16 as integers, so this is float16; errors of one rounding each."""
    torch.manual_seed(0)
    norm, bias = norm_of(32), torch.randn(32)
    exact = [torch.randn(2, 7, 32).half().float() for _ in range(3)]
    results = []
    for dtype in (torch.float32, torch.float16):
        x, branch, gradient = (value.to(dtype) for value in exact)
        x, branch = x.requires_grad_(), branch.requires_grad_()
        total, normed = block_triton.add_norm(x, branch, bias, None, norm, dtype)
        hidden = block_triton.bias_gelu(normed, bias)
        results.append((total, normed, hidden, *torch.autograd.grad(hidden, [x, branch, norm.weight], gradient)))
    assert [x.dtype for x in results[1]] == [torch.float16] * 5 + [torch.float32]
    for rough, plain in zip(results[1], results[0], strict=True):
        torch.testing.assert_close(rough.float(), plain, atol=2e-2, rtol=1e-2)


@pytest.mark.parametrize("drop", [True, False])
def test_a_stage_is_that_of_plain_blocks(drop, monkeypatch):
    torch.manual_seed(0)
    net = backbone.FXSwin(
        embed_dim=16, depths=(2, 3), num_heads=(1, 2), window_size=4, drop_path_rate=0.5 if drop else 0.0
    ).train()
    for name, parameter in net.named_parameters():
        if name.endswith("bias") or "norm" in name:
            torch.nn.init.normal_(parameter, 0.5, 0.3)
    images, found = torch.randn(3, 3, 36, 28), []
    for on_gpu in (False, True):
        monkeypatch.setattr(fused, "on_gpu", lambda x, on=on_gpu: on)
        torch.manual_seed(1)
        maps = net(images)
        torch.manual_seed(2)
        total = sum((x * torch.randn(x.shape)).sum() for x in maps.values())
        found.append((list(maps.values()), torch.autograd.grad(total, list(net.parameters()))))
    torch.testing.assert_close(found[1][0], found[0][0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found[1][1], found[0][1], atol=1e-3, rtol=1e-3)


def test_a_post_norm_block_is_the_plain_one(monkeypatch):
    torch.manual_seed(0)
    block, x, found = layers.FeedForward(24, 40), torch.randn(2, 7, 24, requires_grad=True), []
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    for on_gpu in (False, True):
        monkeypatch.setattr(fused, "on_gpu", lambda x, on=on_gpu: on)
        out = block(x)
        found.append((out, *torch.autograd.grad(out.square().sum(), [x, *block.parameters()])))
    torch.testing.assert_close(*found, atol=1e-4, rtol=1e-4)


def test_the_operators_are_right_for_compilers():
    """PyTorch's own check of schema, fake tensors and autograd."""
    x, branch, vector = torch.randn(2, 3, 8), torch.randn(2, 3, 8), torch.randn(8)
    checks = "test_schema", "test_faketensor"
    forward = (x, branch, vector, torch.rand(2), vector, vector, 1e-5, torch.float16)
    torch.library.opcheck(block_triton.add_norm_forward, forward, test_utils=checks)
    alone = (x, None, None, None, vector, vector, 1e-5, x.dtype)
    torch.library.opcheck(block_triton.add_norm_forward, alone, test_utils=checks)
    statistics = torch.randn(6), torch.rand(6)
    backward = (x, branch, x, *statistics, vector, None, torch.float32)
    torch.library.opcheck(block_triton.add_norm_backward, backward, test_utils=checks)
    torch.library.opcheck(block_triton.bias_gelu_forward, (x, vector), test_utils=checks)
    torch.library.opcheck(block_triton.bias_gelu_backward, (x, branch, vector), test_utils=checks)

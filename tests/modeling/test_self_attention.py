"""Attention between queries against PyTorch's own with a mask over all pairs."""

import contextlib

import pytest
import torch
from torch import nn

from fx_d2.modeling.cast_linear import cast_together
from fx_d2.modeling.detr.attention import QueryAttention
from fx_d2.modeling.detr.denoising import make_denoising
from fx_d2.modeling.detr.targets import BatchTargets, BoxTargets


@pytest.mark.parametrize("noised", [False, True])
def test_values_and_gradients_of_multi_head_attention(noised):
    torch.manual_seed(0)
    attention = QueryAttention(16, 4)
    nn.init.normal_(attention.in_proj_bias)
    nn.init.normal_(attention.out_proj.bias)
    whole, n, queries = None, 0, 7
    if noised:
        truth = BoxTargets(torch.zeros(2, dtype=torch.int64), torch.full((2, 4), 0.5))
        noised_rows = make_denoising(BatchTargets.pad([truth], 2), 3, 6, 0.5, 1.0).attention_mask(queries)
        n = len(noised_rows)
        assert n == 12
        whole = torch.cat([noised_rows, torch.ones(queries, n + queries).bool()])
        whole[n:, n:] = False
    query, content = (torch.randn(3, n + queries, 16, requires_grad=True) for _ in range(2))
    expected, _ = nn.MultiheadAttention.forward(attention, query, query, content, attn_mask=whole)
    actual = attention(query, content, None if whole is None else whole[:n])
    torch.testing.assert_close(actual, expected, atol=1e-6, rtol=1e-5)
    upstream = torch.randn_like(expected)
    inputs = [query, content, *attention.parameters()]
    gradients = (torch.autograd.grad(x, inputs, upstream) for x in (actual, expected))
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-5)


def test_weights_cast_together_give_the_same_bits():
    """As autocast casts them one by one; so do the gradients, which come back in float32."""
    torch.manual_seed(0)
    attention, query = QueryAttention(16, 4), torch.randn(2, 9, 16)
    found = []
    for together in (False, True):
        attention.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            with cast_together([attention], torch.bfloat16) if together else contextlib.nullcontext():
                out = attention(query, query)
        out.float().square().sum().backward()
        found.append([out, *(parameter.grad for parameter in attention.parameters())])
    assert found[0][0].dtype == torch.bfloat16 and attention.copies is None
    torch.testing.assert_close(found[1], found[0], atol=0, rtol=0)


def test_parameters_are_those_of_multi_head_attention():
    """Weights of DINO load by name."""
    own, pytorchs = QueryAttention(8, 2).state_dict(), nn.MultiheadAttention(8, 2).state_dict()
    assert {name: x.shape for name, x in own.items()} == {name: x.shape for name, x in pytorchs.items()}

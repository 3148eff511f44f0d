"""The window attention's Triton kernels under Triton's interpreter, against the plain path of a Swin block.

As ``interpreted_sampling.py``: another test runs this file in a process of its own.
"""

import pytest
import torch

from fx_d2.modeling import backbone, fused
from fx_d2.modeling.window_attention_triton import window_attention

# window, heads, width of a head, map, shifted, single windows are shifted, shifted before padding
CASES = {
    "shifted": (7, 2, 32, (14, 14), True, False, False),
    "one window": (7, 1, 20, (7, 7), False, False, False),
    "one shifted window": (4, 1, 16, (4, 4), True, True, False),
    "one axis shifted": (4, 2, 8, (4, 8), True, False, False),
    "padded": (4, 1, 16, (5, 7), True, False, False),
    "padded after the shift": (4, 1, 16, (5, 7), True, False, True),
    "several blocks of queries": (12, 1, 16, (24, 12), True, False, False),
    "widest head": (4, 1, 64, (4, 4), False, False, False),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_values_and_gradients_equal_the_plain_path(case, monkeypatch):
    window, heads, d, size, shifted, single, before = case
    torch.manual_seed(0)
    block = backbone.SwinBlock(heads * d, window, heads, shifted, 1.0, single, before)
    for parameter in block.attn.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    x = torch.randn(2, *size, heads * d, requires_grad=True)
    tensors = [x, *block.attn.parameters()]
    plain = block.attend(x)
    monkeypatch.setattr(fused, "on_gpu", lambda x: True)
    found = block.attend(x)
    torch.testing.assert_close(found, plain, atol=1e-5, rtol=1e-5)
    gradient = torch.randn(plain.shape)
    expected, actual = (torch.autograd.grad(out, tensors, gradient) for out in (plain, found))
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-4)


def test_half_precision_is_summed_in_float32_and_stays_half():
    """Triton 3.8's interpreter multiplies bfloat16 as integers, so this is float16; errors of one rounding each."""
    torch.manual_seed(0)
    exact, table = torch.randn(1, 4, 4, 3 * 32).half().float(), torch.randn(49, 2)
    gradient, found = torch.randn(1, 4, 4, 32).half(), []
    for dtype in (torch.float32, torch.float16):
        qkv, bias = exact.to(dtype).requires_grad_(), table.clone().requires_grad_()
        out = window_attention(qkv, bias, 4, [0, 0], [0, 0])
        found.append((out, *torch.autograd.grad(out, (qkv, bias), gradient.to(dtype))))
    assert [x.dtype for x in found[1]] == [torch.float16, torch.float16, torch.float32]
    for rough, plain in zip(found[1], found[0], strict=True):
        torch.testing.assert_close(rough.float(), plain, atol=5e-3, rtol=5e-3)


def test_only_the_inputs_are_saved_and_part_windows_are_refused():
    qkv, table, saved = torch.randn(1, 4, 4, 48, requires_grad=True), torch.randn(49, 1, requires_grad=True), []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: saved.append(x.data_ptr()) or x, lambda x: x):
        window_attention(qkv, table, 4, [0, 0], [0, 0])
    assert saved == [qkv.data_ptr(), table.data_ptr()]
    with pytest.raises(ValueError, match="5 x 4 is no whole number of windows of 4"):
        window_attention(torch.randn(1, 5, 4, 48), table, 4, [0, 0], [0, 0])


def test_the_operators_are_right_for_compilers():
    """PyTorch's own check of schema, fake tensors and autograd."""
    qkv, table = torch.randn(1, 4, 4, 48, requires_grad=True), torch.randn(49, 1, requires_grad=True)
    checks = "test_schema", "test_autograd_registration", "test_faketensor"
    torch.library.opcheck(window_attention, (qkv, table, 4, [2, 2], [2, 2]), test_utils=checks)

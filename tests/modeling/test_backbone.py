"""Swin against slow literal versions of its parts and against published sizes."""

import math

import pytest
import torch
import torch.nn.functional as F

from fx_d2.modeling import backbone, cast_linear
from fx_d2.modeling.backbone import (
    FXSwin,
    PatchMerging,
    SwinBlock,
    WindowAttention,
    drop_path_scales,
    relative_position_index,
    shift_mask,
    window_partition,
    window_reverse,
)
from fx_d2.modeling.checkpointing import run_checkpointed


def test_windows_by_slicing():
    x = torch.arange(2 * 4 * 6 * 3.0).view(2, 4, 6, 3)
    windows = window_partition(x, 2)
    expected = [x[b, r : r + 2, c : c + 2].reshape(4, 3) for b in range(2) for r in (0, 2) for c in (0, 2, 4)]
    assert torch.equal(windows, torch.stack(expected))
    assert torch.equal(window_reverse(windows, 2, 4, 6), x)


def test_relative_position_index_by_loop():
    side = 3
    index = relative_position_index(side)
    for i in range(9):
        for j in range(9):
            dy, dx = i // 3 - j // 3 + 2, i % 3 - j % 3 + 2
            assert index[i, j] == dy * 5 + dx
    assert index.unique().numel() == (2 * side - 1) ** 2


def test_shift_mask_by_literal_regions():
    """Two tokens may see each other if neither axis wrapped around between them."""
    h, w, side, shift = 6, 8, 2, (1, 1)
    allowed = shift_mask(h, w, side, shift, torch.device("cpu"))
    for window in range((h // side) * (w // side)):
        rows = [(window // (w // side)) * side + t // side for t in range(side**2)]
        columns = [(window % (w // side)) * side + t % side for t in range(side**2)]
        wrapped = [(r >= h - shift[0], c >= w - shift[1]) for r, c in zip(rows, columns, strict=True)]
        for a in range(side**2):
            for b in range(side**2):
                assert allowed[window, a, b] == (wrapped[a] == wrapped[b])


def test_attention_by_loop():
    torch.manual_seed(0)
    attention = WindowAttention(8, 2, 2)
    x = torch.randn(4, 4, 8)
    allowed = torch.rand(2, 4, 4) > 0.3
    allowed |= torch.eye(4, dtype=torch.bool)
    out = attention(x, allowed)
    qkv = attention.qkv(x)
    table, index = attention.relative_position_bias_table, attention.relative_position_index
    for window in range(4):
        heads = []
        for head in range(2):
            q, k, v = (qkv[window, :, 8 * part + 4 * head :][:, :4] for part in range(3))
            rows = []
            for i in range(4):
                logits = torch.stack([q[i] @ k[j] / math.sqrt(4) + table[index[i, j], head] for j in range(4)])
                logits = logits.masked_fill(~allowed[window % 2, i], float("-inf"))
                rows.append(logits.softmax(0) @ v)
            heads.append(torch.stack(rows))
        expected = attention.proj(torch.cat(heads, dim=1))
        torch.testing.assert_close(out[window], expected)


def test_a_single_window_is_shifted_only_by_the_switch():
    torch.manual_seed(0)
    x = torch.randn(1, 4, 4, 8)
    plain = SwinBlock(8, 4, 2, shifted=False, mlp_ratio=2)
    shifted = SwinBlock(8, 4, 2, shifted=True, mlp_ratio=2)
    reference = SwinBlock(8, 4, 2, shifted=True, mlp_ratio=2, shift_single_window=True)
    shifted.load_state_dict(plain.state_dict())
    reference.load_state_dict(plain.state_dict())
    assert torch.equal(plain(x), shifted(x))
    assert not torch.allclose(plain(x), reference(x))


def test_patch_merging_order():
    merge = PatchMerging(1)
    torch.nn.init.eye_(merge.reduction.weight)
    x = torch.tensor([[1.0, 2.0], [3.0, 5.0]])[None, :, :, None]
    # Order (0,0), (1,0), (0,1), (1,1); the reduction keeps the first two of the normalised four.
    expected = F.layer_norm(torch.tensor([1.0, 3.0, 2.0, 5.0]), (4,))[:2]
    torch.testing.assert_close(merge(x).flatten(), expected)


def tiny_swin(**options) -> FXSwin:
    return FXSwin(embed_dim=8, depths=(1, 2, 1, 1), num_heads=(1, 1, 2, 2), window_size=4, **options)


@pytest.mark.parametrize("size", [(64, 64), (60, 50), (33, 97)])
def test_any_input_size(size):
    swin = tiny_swin().eval()
    features = swin(torch.randn(2, 3, *size))
    h, w = (math.ceil(s / 4) for s in size)
    for i, name in enumerate(("stage1", "stage2", "stage3", "stage4")):
        assert features[name].shape == (2, 8 * 2**i, h, w)
        assert swin.output_shape()[name].channels == 8 * 2**i
        h, w = math.ceil(h / 2), math.ceil(w / 2)


def test_checkpointing_changes_no_gradient():
    torch.manual_seed(0)
    images = torch.randn(1, 3, 32, 32)
    gradients = []
    for use in (False, True):
        torch.manual_seed(1)
        swin = tiny_swin(checkpoint=use)
        sum(f.square().mean() for f in swin(images).values()).backward()
        gradients.append([p.grad for p in swin.parameters()])
    torch.testing.assert_close(*gradients)


def test_path_scales_keep_the_expectation():
    torch.manual_seed(0)
    rates = torch.tensor([0.0, 0.3])
    scales = drop_path_scales(rates, 20000).flatten(2)  # (blocks, branches, samples)
    assert scales.shape == (2, 2, 20000) and (scales[0] == 1).all()
    assert torch.equal(scales[1].unique(), torch.tensor([0.0, 1 / (1 - rates[1])]))
    assert (scales[1].mean(1) - 1).abs().max() < 0.02
    assert ((scales[1] > 0).float().mean(1) - 0.7).abs().max() < 0.02
    assert not torch.equal(scales[1, 0], scales[1, 1])


def test_a_dropped_branch_leaves_the_sample_as_it_was():
    torch.manual_seed(0)
    block, x = SwinBlock(8, 4, 2, shifted=False, mlp_ratio=2), torch.randn(2, 4, 4, 8)
    scales = torch.tensor([[0.0, 1.0], [0.0, 2.0]]).view(2, 2, 1, 1, 1)
    out = block(x, scales)
    assert torch.equal(out[0], x[0])
    middle = x + block.attend(block.norm1(x))
    expected = middle + 2 * block.mlp["fc2"](F.gelu(block.mlp["fc1"](block.norm2(middle))))
    torch.testing.assert_close(out[1], expected[1])


def test_paths_are_dropped_in_training_alone():
    swin, images = tiny_swin(drop_path_rate=0.5), torch.randn(4, 3, 32, 32)
    torch.testing.assert_close(swin.drop_rates, torch.tensor([0.0, 1 / 8, 1 / 4, 3 / 8, 0.5]))
    first, second = (swin(images)["stage4"] for _ in range(2))
    assert not torch.equal(first, second)
    swin.eval()
    assert torch.equal(swin(images)["stage4"], swin(images)["stage4"])


@pytest.mark.parametrize("checkpoint", [False, True])
@pytest.mark.parametrize("frozen", [False, True])
def test_weights_cast_together_give_the_same_bits(frozen, checkpoint, monkeypatch):
    """A block's eight tensors in one operator, as on a GPU under autocast; with a frozen layer and when recomputed."""
    monkeypatch.setattr(backbone, "load_window_attention", lambda: None)
    torch.manual_seed(0)
    block, x, found = backbone.SwinBlock(16, 4, 2, True, 2.0), torch.randn(2, 8, 8, 16), []
    block.attn.proj.requires_grad_(not frozen)
    for together in (False, True):
        monkeypatch.setattr(cast_linear, "launches_count", lambda _, together=together: together)
        block.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16):
            out = run_checkpointed(block, x.requires_grad_(), enabled=checkpoint)
        out.float().square().sum().backward()
        gradients = [p.grad for p in block.parameters()]
        assert sum(gradient is None for gradient in gradients) == 2 * frozen
        found.append([out, *(gradient for gradient in gradients if gradient is not None)])
    assert all(map(torch.equal, *found))
    layers = [layer for layer in block.modules() if isinstance(layer, cast_linear.CastLinear)]
    assert all(layer.copies is None for layer in layers) and len(layers) == 4

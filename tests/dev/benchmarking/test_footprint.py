"""Counted bytes and operations of tiny computations against those written out by hand."""

import pytest
import torch
from torch import nn

from benchmarking import footprint
from benchmarking.fitting import GIB, Network, Setting, cheapest_setting, largest_batch, usable_bytes
from benchmarking.footprint import Transient, count_transient, count_work
from benchmarking.live_bytes import LiveBytes, cuda_types
from benchmarking.steps import Bench, kinds
from fx_d2.schedule import Unit
from tests.tiny import tiny_config


@pytest.fixture
def cfg(tmp_path):
    """A tiny network for built-in datasets, none of which is on disk."""
    units = ["chexpert/cls", "node21/box", "candid_ptx/mask"]
    return tiny_config(tmp_path, tmp_path, **{"DATASETS.FILES": [], "FX.CYCLE.UNITS": units})


def test_bytes_of_a_linear_layer_by_hand():
    """x 4000, y = x W 4000, its exponential 4000, its sum 4; backward: the 1 4, of the sum (a view of it) 0, of the
    exponential 4000, then of W 4000 while that lives; x needs none."""
    x, w = torch.ones(100, 10), torch.ones(10, 10, requires_grad=True)
    with LiveBytes([x, w]) as live:
        y = x @ w
        assert (live.now, live.peak) == (4000, 4000)
        out = y.exp()
        del y  # the exponential keeps its output, not its input
        assert live.now == 4000 and live.peak == 8000
        total = out.sum()
        assert live.now == 4004
        total.backward()
        assert live.now == 4004 + 400  # the gradient of w
        assert live.peak == 8000 + 8 + 400  # out, its gradient, the sum and the 1, and the new gradient of w
        del out, total
        assert live.now == 400
    assert w.grad.shape == (10, 10)


def test_views_and_writing_in_place_cost_nothing():
    x = torch.ones(100)
    with LiveBytes([x]) as live:
        x.view(10, 10).t().add_(1)
        assert live.peak == 0 and live.operators == 3


def test_types_are_those_of_a_gpu():
    """Under autocast: a product in bfloat16, its normalisation in float32; a product's bytes are 2 a number."""
    linear, norm = nn.Linear(16, 16, bias=False), nn.LayerNorm(16)
    block, x = nn.Sequential(linear, norm), torch.randn(8, 16)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16), LiveBytes([x, *block.parameters()]) as live:
        y = linear(x)
        # x and W rounded (2 bytes each), and y; autocast keeps no copy of a weight without gradients
        assert y.dtype == torch.bfloat16 and live.peak == 2 * (8 * 16 + 16 * 16 + 8 * 16)
        assert norm(y).dtype == torch.bfloat16
        with cuda_types(block):
            assert norm(y).dtype == torch.float32
    torch.testing.assert_close(y.float(), linear(x), atol=0.02, rtol=0.02)


@pytest.mark.parametrize("amp", [False, True])
def test_bytes_grow_with_the_batch_as_said(cfg, amp, monkeypatch):
    """Four images, not among the counted ones, need what the line through the others says; nothing is left behind."""
    cfg.merge_from_list(["SOLVER.AMP.ENABLED", amp])
    bench = Bench(cfg, 1)
    for kind in kinds(cfg):
        counted = count_transient(bench, kind)
        monkeypatch.setattr(footprint, "SMALL", 4)
        monkeypatch.setattr(footprint, "LARGE", 5)
        four = count_transient(bench, kind).bytes(4)
        monkeypatch.undo()
        assert counted.bytes(4) == pytest.approx(four, rel=0.1) and counted.per_image > 0
        assert all(p.grad is None and not p._post_accumulate_grad_hooks for p in bench.student.parameters())


def test_recomputed_layers_need_less(cfg):
    plain = {str(kind): count_transient(Bench(cfg, 1), kind) for kind in kinds(cfg)}
    cfg.merge_from_list(["MODEL.SWIN.CHECKPOINT", True, "MODEL.BOX.CHECKPOINT", True])
    for kind in kinds(cfg):
        if kind.train == "path":
            assert count_transient(Bench(cfg, 1), kind).per_image < plain[str(kind)].per_image


def test_work_of_a_locked_mask_pass(cfg):
    """It trains one convolution of 3 x 3 from 8 channels to one class."""
    bench = Bench(cfg, 2)
    found = {str(kind): count_work(bench, kind) for kind in kinds(cfg)}
    assert found["mask locked"].trained == 9 * 8 + 1
    trained = bench.student.trainable_parts(Unit.parse("chexpert/cls"), "path")
    numbers = sum(p.numel() for n, p in bench.student.named_parameters() if n.startswith(tuple(trained)))
    assert found["cls released"].trained == numbers
    assert found["box released"].gflop > found["box locked"].gflop > 0
    assert found["box released"].operators > found["mask locked"].operators > 100


NETWORK = Network(100_000_000, {"cls released": 50_000_000, "mask locked": 0})


def test_resident_bytes_by_hand():
    """Two networks and two moments of 400 MB, 200 MB of gradients."""
    assert NETWORK.resident("cls released") == 1_800_000_000
    assert NETWORK.resident("mask locked") == 1_600_000_000


def test_largest_batch_by_hand():
    """Of 8 GiB: (8 - 0.75) * 0.87 = 6.3075; less 2 and 0.5 are 3.8, in which 7 images of half a GiB fit."""
    assert usable_bytes(8) == pytest.approx(6.3075 * GIB)
    assert largest_batch(8, 2 * GIB, Transient(GIB // 2, GIB // 2)) == 7
    assert largest_batch(2, 2 * GIB, Transient(0, 1)) == 0


def test_the_cheapest_setting_by_hand():
    """What is usable less 1.68 GiB (1.8e9 bytes), over the bytes an image; the kind that needs most decides."""
    large, small = Transient(0, GIB), Transient(0, GIB // 5)
    transients = {
        "": {"cls released": large, "mask locked": small},
        "SWIN and BOX": {"cls released": small, "mask locked": small},
    }

    def setting(gib):
        return cheapest_setting(24, gib, NETWORK, transients)

    assert setting(80) == Setting(1, "") and str(setting(80)) == "none needed"
    assert setting(9) == Setting(1, "SWIN and BOX")  # (7.18 - 1.68) / 0.2 = 27.5 images
    assert setting(7) == Setting(8, "")  # (5.44 - 1.68) / 1: 3 images; recomputing as well: 18, so two parts and both
    assert str(setting(7)) == "ACCUMULATE 8"
    assert setting(3) == Setting(24, "SWIN and BOX")  # 0.28 GiB: no whole image, or one with recomputing
    assert setting(2) is None

"""Compiled trunks: same values and gradients, other batch sizes as before, copies with their own weights.

The back end is ``aot_eager``, which traces and differentiates as on a GPU and generates no code.
"""

import copy
import logging

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from fx_d2.config import get_fx_cfg
from fx_d2.engine.compilation import compile_configured, compile_trunks, plain_trunks
from tests.tiny import make_model


@pytest.fixture
def model():
    model = make_model()
    compile_trunks([model], batch_size=2, backend="aot_eager")
    return model


def values_and_gradients(trunk, images):
    maps = trunk(images)
    total = sum((x * torch.linspace(-1, 1, x.numel()).view_as(x)).sum() for x in maps.values())
    return [*maps.values(), *torch.autograd.grad(total, list(trunk.parameters()))]


def test_values_and_gradients_are_those_of_the_plain_trunk(model):
    images = torch.randn(2, 3, 64, 64)
    expected = values_and_gradients(make_model().backbone, images)
    for a, b in zip(values_and_gradients(model.backbone, images), expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_only_batches_of_the_full_size_are_compiled(model, monkeypatch):
    counts = []
    monkeypatch.setattr(torch, "compile", lambda f, **_: lambda *args: counts.append(1) or f(*args))
    model = make_model()
    compile_trunks([model], batch_size=2)
    for size in (2, 1, 3, 2):
        model.backbone(torch.randn(size, 3, 64, 64))
    assert len(counts) == 2


def test_mode_and_batch_size_follow_from_the_configuration(monkeypatch):
    """24 images on two processes in three parts: 4 a forward pass."""
    asked = []
    monkeypatch.setattr(torch, "compile", lambda f, **options: asked.append(options) or (lambda *args: "compiled"))
    cfg = get_fx_cfg()
    cfg.FX.COMPILE, cfg.MODEL.DEVICE, cfg.SOLVER.ACCUMULATE = "default", "cuda", 3
    model = make_model()
    compile_configured(cfg, [model], 2)
    assert asked == [{"dynamic": False, "mode": "default"}]
    assert model.backbone(torch.zeros(4, 3, 64, 64)) == "compiled"
    assert "stage1" in model.backbone(torch.zeros(3, 3, 64, 64))


def test_a_copy_runs_with_its_own_weights(model):
    images = torch.randn(2, 3, 64, 64)
    other = copy.deepcopy(model)
    with torch.no_grad():
        before = model.backbone(images)["stage1"]
        for parameter in other.backbone.parameters():
            parameter.zero_()
        assert not other.backbone(images)["stage1"].any()
        torch.testing.assert_close(model.backbone(images)["stage1"], before)


def test_a_trunk_is_compiled_after_its_operations_were_counted():
    """The count is that of a network that is not compiled, and does not keep this one from it."""
    built, counts = [], []
    for compiled in (False, True):
        model = make_model()
        if compiled:
            compile_trunks([model], batch_size=2, backend=lambda graph, _: built.append(1) or graph.forward)
        with plain_trunks([model]), FlopCounterMode(display=False) as counter:
            model.backbone(torch.randn(2, 3, 64, 64))
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] > 0 and not built
    model.backbone(torch.randn(2, 3, 64, 64))
    assert built


def test_on_the_cpu_the_key_is_left_out_and_named(caplog):
    cfg = get_fx_cfg()
    cfg.FX.COMPILE, cfg.MODEL.DEVICE = "default", "cpu"
    model = make_model()
    with caplog.at_level(logging.WARNING):
        compile_configured(cfg, [model], 1)
    assert "FX.COMPILE" in caplog.text and "forward" not in vars(model.backbone)

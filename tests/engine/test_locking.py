"""What a lock does to parameters, gradients and modes; the optimizer's groups."""

import pytest
import torch
from torch import nn

from fx_d2.engine.locking import apply_lock, is_below
from fx_d2.engine.optimizer import lr_factor, parameter_groups
from fx_d2.schedule import Unit
from tests.tiny import make_batch, make_model


def test_names():
    assert is_below("a.b.c", ["a.b"]) and is_below("a.b", ["a.b"])
    assert not is_below("a.bc", ["a.b"]) and not is_below("a", ["a.b"])


def test_lock_flags_gradients_and_modes(model):
    model.train()
    sum(model(make_batch("one/mask")).values()).backward()
    trained = model.trainable_parts(Unit("one", "mask"), "head")
    report = apply_lock(model, trained)
    names = {"heads.mask.branches.one.weight", "heads.mask.branches.one.bias"}
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (name in names)
        assert (parameter.grad is not None) == (name in names)
    assert report.trained_tensors == 2 and report.trained_parameters == 8 * 9 + 1
    total = sum(p.numel() for p in model.parameters())
    assert report.trained_parameters + report.locked_parameters == total
    # Batch norm and drop-path of locked parts are in evaluation mode, the losses are still those of training.
    assert not model.heads["mask"].pyramid.fusion[1].training and not model.backbone.training
    assert model.training and model.heads["mask"].training
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert "loss_dice" in model(make_batch("one/mask"))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_release_gives_back(model):
    unit = Unit("one", "box")
    apply_lock(model, model.trainable_parts(unit, "head"))
    apply_lock(model, model.trainable_parts(unit, "path"))
    assert all(p.requires_grad for p in model.backbone.parameters()) and model.backbone.training
    assert not any(p.requires_grad for p in model.heads["cls"].parameters())


def test_misspelt_name(model):
    with pytest.raises(ValueError, match="heads.msk"):
        apply_lock(model, ["heads.msk"])


@pytest.mark.parametrize("layout", ["per_dataset", "shared"])
def test_every_parameter_is_in_exactly_one_named_group(layout):
    model = make_model(layout)
    groups = parameter_groups(model, lr=1e-4, backbone_multiplier=0.1, weight_decay=1e-4)
    ids = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(ids) == sorted(id(parameter) for parameter in model.parameters())
    by_name = {group["name"]: group for group in groups}
    assert set(by_name) == {f"{part}{end}" for part in ("backbone", "cls", "box", "mask") for end in ("", "/no_decay")}
    for name, group in by_name.items():
        assert group["weight_decay"] == (0.0 if name.endswith("no_decay") else 1e-4)
        assert group["lr"] == pytest.approx(1e-5 if name.startswith("backbone") else 1e-4)
    plain = {id(parameter) for name, group in by_name.items() if "no_decay" in name for parameter in group["params"]}
    for name, parameter in model.named_parameters():
        spared = name.endswith(("bias", "relative_position_bias_table", "level_embed")) or ".norm" in name
        if spared:
            assert id(parameter) in plain, name
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.Embedding):
            assert id(module.weight) not in plain
        if isinstance(module, nn.LayerNorm | nn.BatchNorm2d | nn.GroupNorm):
            assert id(module.weight) in plain


def test_learning_rate_follows_warmup_then_cosine():
    values = [lr_factor(i, 100, 0.1, 0.01) for i in range(100)]
    assert values[0] == pytest.approx(0.01) and values[5] == pytest.approx(0.01 + 0.99 * 0.5)
    assert values[10] == pytest.approx(1.0) and values[55] == pytest.approx(0.5)
    assert values == sorted(values[:11]) + sorted(values[11:], reverse=True)
    assert values[-1] < 0.001
    assert lr_factor(0, 10, 0.0, 0.01) == 1.0

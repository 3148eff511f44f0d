"""Published Foundation X and X+ checkpoints: every tensor in its place, every tensor accounted for."""

import argparse
from pathlib import Path

import pytest
import torch

from fx_d2.checkpoint import CheckpointError, load_weights, read_weights
from fx_d2.checkpoint.layouts import find_layout
from fx_d2.checkpoint.load import target_of
from fx_d2.checkpoint.reference import published_classes, reference_config
from fx_d2.checkpoint.transfer import transfer
from fx_d2.modeling import FoundationX, ModelEMA
from fx_d2.schedule import Unit
from tests.published import SIZES, published_state, tiny_published

# Beside the project, where the development material is.
KEYS = Path(__file__).parents[3] / "shared" / "docs" / "reference_state_dict_keys.txt"
LAYOUTS = ["foundation_x", "foundation_x_plus"]


def save(path, model, layout, teacher=None):
    content = {"model": published_state(model, layout), "epoch": 7, "args": argparse.Namespace(lr=1e-4)}
    if teacher is not None:
        content["teacher_model"] = published_state(teacher, layout)
    torch.save(content, path)
    return path


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_tensor_comes_back(layout, tmp_path):
    published, taught = tiny_published(layout), tiny_published(layout, seed=1)
    path = save(tmp_path / "ckpt.pth", published, layout, taught)
    file = read_weights(path)
    assert set(file.states) == {"student", "teacher"}
    assert find_layout(set(file.states["student"])).name == layout
    model = FoundationX(reference_config(layout, SIZES), classes=published_classes())
    teacher = ModelEMA(model)
    report = load_weights(path, model, teacher)
    assert report.names("missing") == [] and report.names("resized") == []
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, published.state_dict()[name]), name
    for name, tensor in teacher.model.state_dict().items():
        assert torch.equal(tensor, taught.state_dict()[name]), name
    assert teacher.initialised
    assert set(report.unused) == {
        "backbone.0.Segnorm0.weight",
        "backbone.0.layers.0.blocks.0.attn.relative_position_index",
    }
    # Both sides of the ledger add up.
    assert len(report.rows) == len(model.state_dict())
    assert sum(n for _, n, _ in report.rows.values()) == sum(t.numel() for t in model.state_dict().values())


def test_teacher_instead_of_student(tmp_path):
    taught = tiny_published("foundation_x", seed=1)
    path = save(tmp_path / "ckpt.pth", tiny_published("foundation_x"), "foundation_x", taught)
    model = tiny_published("foundation_x", seed=2)
    load_weights(path, model, part="teacher")
    assert torch.equal(model.backbone.patch_embed.proj.weight, taught.backbone.patch_embed.proj.weight)
    with pytest.raises(CheckpointError, match="holds no teacher, only: student"):
        read_weights(save(tmp_path / "alone.pth", taught, "foundation_x")).part("teacher")


def test_backbone_alone(tmp_path):
    published, model = tiny_published("foundation_x"), tiny_published("foundation_x", seed=2)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    load_weights(save(tmp_path / "ckpt.pth", published, "foundation_x"), model, part="backbone")
    for name, tensor in model.state_dict().items():
        expected = published.state_dict() if name.startswith("backbone.") else before
        assert torch.equal(tensor, expected[name]), name


def test_classes_are_rows_by_category_id(tmp_path):
    """The intended network has as many logits as classes: they are logits 1 to K of the published 14."""
    published = tiny_published("foundation_x")
    overrides = SIZES | {"FX.CYCLE.UNITS": ["chestx_det/box"]}
    cfg = reference_config("foundation_x", overrides)
    cfg.merge_from_list(["MODEL.BOX.CLASS_LOGITS", 0, "MODEL.BOX.REFINE_HEADS", False])
    names = published_classes()[Unit("chestx_det", "box")]
    model = FoundationX(cfg, classes={Unit("chestx_det", "box"): names})
    load_weights(save(tmp_path / "ckpt.pth", published, "foundation_x"), model)
    ours, theirs = (m.heads["box"].branches["chestx_det"] for m in (model, published))
    assert torch.equal(ours.class_head.weight, theirs.class_head.weight[1:14])
    assert torch.equal(ours.label_embed.weight, theirs.label_embed.weight[1:14])
    # Without heads of its own the refinement that was trained is taken.
    assert torch.equal(ours.box_head.layers[0].weight, theirs.refine_head.layers[0].weight)


def test_classes_in_another_order_are_found_by_name(tmp_path):
    published = tiny_published("foundation_x")
    unit = Unit("chexpert", "cls")
    names = tuple(reversed(published_classes()[unit].names))
    classes = {unit: type(published_classes()[unit])(names)}
    model = FoundationX(reference_config("foundation_x", SIZES), classes=classes)
    load_weights(save(tmp_path / "ckpt.pth", published, "foundation_x"), model)
    ours, theirs = (m.heads["cls"].branches["chexpert"].weight for m in (model, published))
    assert torch.equal(ours, theirs.flip(0))


def test_a_new_dataset_starts_fresh(tmp_path):
    published = tiny_published("foundation_x")
    units = dict(published_classes())
    units[Unit("mine", "box")] = units[Unit("node21", "box")]
    model = FoundationX(reference_config("foundation_x", SIZES), classes=units)
    report = load_weights(save(tmp_path / "ckpt.pth", published, "foundation_x"), model)
    assert report.names("missing") == [name for name in model.state_dict() if ".mine." in name]


def test_a_repeated_tensor_that_differs_is_another_architecture(tmp_path):
    published = tiny_published("foundation_x")
    state = published_state(published, "foundation_x")
    state["bbox_embed_.3.1.layers.0.bias"] += 1
    torch.save({"model": state}, tmp_path / "ckpt.pth")
    with pytest.raises(CheckpointError, match=r"bbox_embed_\.3\.0\.layers\.0\.bias and bbox_embed_\.3\.1.* differ"):
        load_weights(tmp_path / "ckpt.pth", published)


def test_too_little_backbone_is_an_error(tmp_path):
    published = tiny_published("foundation_x")
    path = save(tmp_path / "ckpt.pth", published, "foundation_x")
    deeper = reference_config("foundation_x", SIZES | {"MODEL.SWIN.DEPTHS": [1, 1, 2, 3]})
    other = FoundationX(deeper, classes=published_classes())
    whole = sum(t.numel() for n, t in other.state_dict().items() if n.startswith("backbone."))
    block = sum(t.numel() for t in other.backbone.layers[3].blocks[2].state_dict().values())
    share = f"{100 * (1 - block / whole):.1f}"
    with pytest.raises(CheckpointError, match=rf"gives only {share} % of the backbone.*MODEL\.SWIN"):
        load_weights(path, other)
    assert load_weights(path, other, min_backbone=0.5).share("backbone.") == pytest.approx(1 - block / whole)


def test_other_sizes_are_an_error_but_the_backbone_can_be_taken(tmp_path):
    path = save(tmp_path / "ckpt.pth", tiny_published("foundation_x"), "foundation_x")
    wider = reference_config("foundation_x", SIZES | {"MODEL.BOX.FFN_DIM": 24})
    other = FoundationX(wider, classes=published_classes())
    with pytest.raises(CheckpointError, match=r"ffn\.linear1\.weight is \[24, 32\] here and \[16, 32\] in the file"):
        load_weights(path, other)
    assert load_weights(path, other, part="backbone").names("missing") == []


@pytest.mark.skipif(not KEYS.is_file(), reason="the list of published keys is not beside the project")
def test_published_size_tensor_by_tensor():
    """The whole network in its published sizes, on the meta device: names, shapes and what is left over."""
    state, components = {}, {}
    for line in KEYS.read_text().splitlines():
        if not line.startswith("#"):
            key, shape, dtype, part, _, kind = line.split("\t")
            sides = [int(side) for side in shape.split("x") if side and side != "scalar"] if shape else []
            state[key] = torch.empty(sides, dtype=getattr(torch, dtype), device="meta")
            components[key] = (part, kind)
    with torch.device("meta"):
        model = FoundationX(reference_config("foundation_x", {}), classes=published_classes())
    layout = find_layout(set(state))
    target = target_of(model)
    used = set()
    for name, shape in target.shapes.items():
        source = layout.source(name, target)
        tensor = state[source.key]
        rows = tensor.shape if source.rows is None else (len(source.rows), *tensor.shape[1:])
        assert tuple(rows) == shape or tensor.numel() == 1, name
        used |= {source.key, *(alias for alias in source.aliases if alias in state)}
    left = {components[key][0] for key in state if key not in used and not components[key][1].startswith("buffer")}
    idle = ("Segnorm", "unused", "head", "class", "norm", "seg_head")
    assert all(any(word in part for word in idle) for part in left), left
    for key in set(state) - used:
        assert layout.reason(key) != "no counterpart in this configuration", key


def test_not_finite_is_refused(tmp_path):
    published = tiny_published("foundation_x")
    state = published_state(published, "foundation_x")
    state["transformer.level_embed"][0, 0] = float("nan")
    layout, target = find_layout(set(state)), target_of(published)
    with pytest.raises(CheckpointError, match=r"transformer\.level_embed holds numbers that are not finite"):
        transfer(state, layout, target, "ckpt.pth")

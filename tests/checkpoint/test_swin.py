"""Swin weights of Microsoft, timm and Ark: names, features, window sizes."""

import numpy as np
import pytest
import timm
import torch
from timm.models.swin_transformer import SwinTransformer

from fx_d2.checkpoint import CheckpointError, load_weights, read_weights
from fx_d2.checkpoint.export import export_weights
from fx_d2.checkpoint.layouts import find_layout
from fx_d2.checkpoint.transfer import resize_table
from fx_d2.checkpoint.write import write_weights
from fx_d2.modeling import FoundationX, FXSwin
from fx_d2.modeling.heads import ClassificationHead
from fx_d2.modeling.heads.contract import UnitClasses
from fx_d2.schedule import Unit

UNIT = Unit("one", "cls")


def network(**swin) -> FoundationX:
    """A network of findings alone."""
    options = {"embed_dim": 16, "depths": (2, 2, 2, 2), "num_heads": (1, 2, 4, 8), "window_size": 7} | swin
    backbone = FXSwin(**options, drop_path_rate=0.0)
    classes = UnitClasses(("Nodule",))
    head = ClassificationHead(backbone.output_shape()["stage4"].channels, {"one": classes})
    return FoundationX(
        backbone=backbone, heads={"cls": head}, classes={UNIT: classes}, pixels={"cls": ([0.5], [0.25])}
    ).eval()


def timm_swin(size, window=7) -> SwinTransformer:
    torch.manual_seed(0)
    model = SwinTransformer(
        img_size=size, embed_dim=16, depths=(2, 2, 2, 2), num_heads=(1, 2, 4, 8), window_size=window, num_classes=5
    ).eval()
    for parameter in model.parameters():  # norms, biases and tables start at constants
        torch.nn.init.normal_(parameter, std=0.2)
    return model


@pytest.mark.parametrize(
    ("size", "window"),
    # 236 x 252: maps of 59 x 63, 30 x 32, 15 x 16 and 8 x 8, so that windows and mergings pad.
    [((224, 224), 7), ((236, 252), 7), ((384, 384), 12), ((392, 420), 12)],
)
@torch.no_grad()
def test_features_are_timms(size, window, tmp_path):
    theirs, ours = timm_swin(size, window), network(window_size=window, shift_before_padding=True)
    torch.save(theirs.state_dict(), tmp_path / "timm.pth")
    assert find_layout(set(theirs.state_dict())).name == "timm"
    report = load_weights(tmp_path / "timm.pth", ours)
    assert report.names("missing") == ["heads.cls.branches.one.weight", "heads.cls.branches.one.bias"]
    images = torch.randn(2, 3, *size)
    features, x = ours.backbone(images), theirs.patch_embed(images)
    for stage, layer in enumerate(theirs.layers):
        x = layer.blocks(layer.downsample(x))
        found = features[f"stage{stage + 1}"].permute(0, 2, 3, 1)
        torch.testing.assert_close(found, x, atol=1e-4, rtol=1e-4)
    pooled = ours.heads["cls"].encode(features)
    torch.testing.assert_close(pooled, theirs.forward_head(theirs.norm(x), pre_logits=True), atol=1e-4, rtol=1e-4)


def microsoft_state(model: SwinTransformer) -> dict[str, torch.Tensor]:
    """The same weights as Microsoft's release names them: merging at the end of the stage before."""
    state = {}
    for name, tensor in model.state_dict().items():
        parts = name.split(".")
        if parts[0] == "layers" and parts[2] == "downsample":
            parts[1] = str(int(parts[1]) - 1)
        state[".".join(parts).replace("head.fc.", "head.")] = tensor
    state["layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(49, 49, dtype=torch.int64)
    state["layers.0.blocks.1.attn_mask"] = torch.zeros(64, 49, 49)
    return state


@pytest.mark.parametrize("container", ["microsoft", "ark", "ark_student"])
def test_old_names_and_ark(container, tmp_path):
    model, ours, other = timm_swin((224, 224)), network(), network()
    torch.save(model.state_dict(), tmp_path / "timm.pth")
    load_weights(tmp_path / "timm.pth", other)
    state = microsoft_state(model)
    if container == "microsoft":
        content = {"model": state, "epoch": 3}
    else:
        state |= {"omni_heads.0.weight": torch.zeros(14, 128), "projector.weight": torch.zeros(9, 128)}
        state = {f"module.{name}": tensor for name, tensor in state.items()}
        wrong = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
        first, second = (wrong, state) if container == "ark" else (state, wrong)
        content = {"state_dict": first, "teacher": second, "epoch": 50, "lossMIN": np.float64(0.5)}
    torch.save(content, tmp_path / "old.pth")
    # The published training starts from Ark's teacher.
    report = load_weights(tmp_path / "old.pth", ours, part="student" if container == "ark_student" else "auto")
    assert report.layout.startswith("Swin of Microsoft" if container == "microsoft" else "Ark")
    for name, tensor in ours.state_dict().items():
        if not name.startswith("heads.cls.branches"):
            assert torch.equal(tensor, other.state_dict()[name]), name
    assert "no counterpart in this configuration" not in {why for _, why in report.unused.values()}


def cubic(x: float) -> float:
    """Weight of a neighbour at distance x in bicubic interpolation (Keys, a = -0.75)."""
    a, x = -0.75, abs(x)
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


def test_tables_are_resized_bicubically():
    table = torch.randn(23**2, 3)  # window 12
    found = resize_table(table, 13**2).reshape(13, 13, 3)  # window 7
    grid = table.reshape(23, 23, 3).double()
    for row, column in ((0, 0), (3, 11), (12, 5)):
        y, x = ((i + 0.5) * 23 / 13 - 0.5 for i in (row, column))
        expected = torch.zeros(3, dtype=torch.float64)
        for i in range(int(np.floor(y)) - 1, int(np.floor(y)) + 3):
            for j in range(int(np.floor(x)) - 1, int(np.floor(x)) + 3):
                expected += cubic(y - i) * cubic(x - j) * grid[min(max(i, 0), 22), min(max(j, 0), 22)]
        torch.testing.assert_close(found[row, column].double(), expected, atol=1e-5, rtol=1e-5)
    assert resize_table(table, 160) is None


def test_another_window_is_resized_and_said(tmp_path):
    torch.save(timm_swin((384, 384), 12).state_dict(), tmp_path / "timm.pth")
    ours = network(window_size=7)
    report = load_weights(tmp_path / "timm.pth", ours)
    tables = [name for name in ours.state_dict() if name.endswith("relative_position_bias_table")]
    assert report.names("resized") == tables and len(tables) == 8


def test_wider_backbone_does_not_fit(tmp_path):
    torch.save(timm_swin((224, 224)).state_dict(), tmp_path / "timm.pth")
    with pytest.raises(CheckpointError, match=r"gives only 0\.2 % of the backbone"):
        load_weights(tmp_path / "timm.pth", network(embed_dim=32))


def test_export_for_timm_loads_strictly(tmp_path):
    """The published size into timm's own model, whose classifier of 1000 classes is filled with zeros."""
    model = network(embed_dim=128, depths=(2, 2, 18, 2), num_heads=(4, 8, 16, 32))
    write_weights(tmp_path / "ours.pth", model.state_dict(), classes={"one/cls": ["Nodule"]})
    export_weights(tmp_path / "ours.pth", tmp_path / "timm.safetensors", "student", timm=True)
    theirs = timm.create_model("swin_base_patch4_window7_224", pretrained=False).eval()
    theirs.load_state_dict(read_weights(tmp_path / "timm.safetensors").part("student"), strict=True)
    images = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        pooled = model.heads["cls"].encode(model.backbone(images))
        found = theirs.forward_head(theirs.forward_features(images), pre_logits=True)
    torch.testing.assert_close(found, pooled, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("head", "outputs"), [("one", 1), ("none", 0)])
@torch.no_grad()
def test_export_for_timm_with_a_head_of_ours_or_none(head, outputs, tmp_path):
    model = network()
    write_weights(tmp_path / "ours.pth", model.state_dict())
    export_weights(tmp_path / "ours.pth", tmp_path / "timm.pth", "student", timm=True, head=head)
    theirs = SwinTransformer(embed_dim=16, depths=(2, 2, 2, 2), num_heads=(1, 2, 4, 8), num_classes=outputs).eval()
    theirs.load_state_dict(read_weights(tmp_path / "timm.pth").part("student"), strict=True)
    images = torch.randn(1, 3, 224, 224)
    pooled = model.heads["cls"].encode(model.backbone(images))
    expected = model.heads["cls"].branches["one"](pooled) if head == "one" else pooled
    torch.testing.assert_close(theirs(images), expected, atol=1e-4, rtol=1e-4)


def test_export_for_timm_of_an_unknown_head(tmp_path):
    write_weights(tmp_path / "ours.pth", network().state_dict())
    with pytest.raises(CheckpointError, match="no classification layer of 'two'; there are: one"):
        export_weights(tmp_path / "ours.pth", tmp_path / "timm.pth", "student", timm=True, head="two")

"""tools/convert_checkpoint.py and tools/export_weights.py, and the configurations of the published networks."""

from pathlib import Path

import pytest
import torch

from fx_d2 import get_fx_cfg
from fx_d2.checkpoint import CheckpointError, load_weights, read_weights
from fx_d2.checkpoint.convert import convert
from fx_d2.checkpoint.reference import SWITCHES, published_classes, reference_config
from fx_d2.commands import convert as convert_checkpoint
from fx_d2.commands import export_weights
from fx_d2.config import cycle_units
from fx_d2.modeling import FoundationX
from fx_d2.schedule import Unit
from tests.published import SIZES, published_state, tiny_published
from tests.tiny import make_model

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.mark.parametrize("layout", list(SWITCHES))
def test_reference_files_set_every_switch(layout):
    cfg = get_fx_cfg()
    cfg.merge_from_file(str(CONFIGS / "reference" / f"{layout}.yaml"))
    for key, expected in SWITCHES[layout].items():
        value = cfg
        for part in key.split("."):
            value = value[part]
        assert value == pytest.approx(expected, rel=1e-12) if isinstance(expected, list) else value == expected, key
    assert set(cycle_units(cfg)) == set(published_classes())
    # A line on what each switch changes stands above it.
    text = [(CONFIGS / "reference" / f"{name}.yaml").read_text().splitlines() for name in SWITCHES]
    for lines in text:
        keys = {key.split(".")[-1] for key in SWITCHES["foundation_x"] | SWITCHES["foundation_x_plus"]}
        for above, line in zip(lines, lines[1:], strict=False):
            name = line.strip().split(":")[0]
            if name in keys - {"MEAN", "STD"}:
                assert above.strip().startswith("#"), line


def run(tool, *arguments, monkeypatch):
    monkeypatch.setattr("sys.argv", ["tool", *map(str, arguments)])
    tool.main()


@pytest.mark.parametrize("layout", list(SWITCHES))
def test_conversion_finds_the_sizes_by_itself(layout, tmp_path, monkeypatch, capsys):
    """The tiny network has sizes that no configuration says."""
    published, taught = tiny_published(layout), tiny_published(layout, seed=1)
    content = {part: published_state(m, layout) for part, m in (("model", published), ("teacher_model", taught))}
    torch.save(content, tmp_path / "ckpt.pth")
    run(convert_checkpoint, tmp_path / "ckpt.pth", tmp_path / "ours.safetensors", monkeypatch=monkeypatch)
    out = capsys.readouterr().out
    assert out.count("\ntotal ") == 4 and "student" in out and "teacher" in out
    file = read_weights(tmp_path / "ours.safetensors")
    # Two heads or four points: a shape shows only their product, and points are taken as published.
    for part, model in (("student", published), ("teacher", taught)):
        for name, tensor in model.state_dict().items():
            assert torch.equal(file.part(part)[name], tensor), name
    assert file.classes["chestx_det/box"] == list(published_classes()[Unit("chestx_det", "box")].names)
    assert list(file.exclusive) == ["rsna_pneumonia/cls"]
    # The configuration inside builds the network that the file fills.
    (tmp_path / "inside.yaml").write_text(file.config)
    cfg = get_fx_cfg()
    cfg.merge_from_file(str(tmp_path / "inside.yaml"))
    model = FoundationX(cfg, classes=published_classes())
    assert load_weights(tmp_path / "ours.safetensors", model).names("missing") == []


def test_conversion_of_a_part(tmp_path):
    published, taught = tiny_published("foundation_x"), tiny_published("foundation_x", seed=1)
    content = {
        part: published_state(m, "foundation_x") for part, m in (("model", published), ("teacher_model", taught))
    }
    torch.save(content, tmp_path / "ckpt.pth")
    convert(tmp_path / "ckpt.pth", tmp_path / "teacher.pth", part="teacher")
    file = read_weights(tmp_path / "teacher.pth")
    assert set(file.states) == {"student"}
    assert torch.equal(file.part("student")["heads.box.level_embed"], taught.heads["box"].level_embed)
    convert(tmp_path / "ckpt.pth", tmp_path / "backbone.pth", part="backbone")
    assert {name.split(".")[0] for name in read_weights(tmp_path / "backbone.pth").part("student")} == {"backbone"}
    with pytest.raises(CheckpointError, match="must end in"):
        convert(tmp_path / "ckpt.pth", tmp_path / "x.onnx")


def test_backbone_of_a_plain_swin(tmp_path):
    model = make_model()
    state = {
        name.removeprefix("backbone."): t for name, t in model.state_dict().items() if name.startswith("backbone.")
    }
    state |= {"norm.weight": torch.rand(64), "norm.bias": torch.rand(64), "head.weight": torch.zeros(3, 64)}
    torch.save({"model": state}, tmp_path / "swin.pth")
    (report,) = convert(tmp_path / "swin.pth", tmp_path / "ours.pth")
    assert report.names("missing") == [] and list(report.unused) == ["head.weight"]
    fresh = make_model()
    load_weights(tmp_path / "ours.pth", fresh)
    assert torch.equal(fresh.heads["cls"].norm.weight, state["norm.weight"])


def test_export_of_one_model(tmp_path, monkeypatch, capsys):
    published, taught = tiny_published("foundation_x"), tiny_published("foundation_x", seed=1)
    content = {
        part: published_state(m, "foundation_x") for part, m in (("model", published), ("teacher_model", taught))
    }
    torch.save(content, tmp_path / "ckpt.pth")
    convert(tmp_path / "ckpt.pth", tmp_path / "ours.pth")
    for form in ("safetensors", "pth"):
        run(export_weights, tmp_path / "ours.pth", "--format", form, monkeypatch=monkeypatch)
        file = read_weights(tmp_path / f"ours_teacher.{form}")
        assert set(file.states) == {"student"} and file.config == read_weights(tmp_path / "ours.pth").config
        for name, tensor in taught.state_dict().items():
            assert torch.equal(file.part("student")[name], tensor), name
    run(export_weights, tmp_path / "ours.pth", "--format", "timm", monkeypatch=monkeypatch)
    assert "SHIFT_SINGLE_WINDOW" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["tool", str(tmp_path / "ckpt.pth")])
    with pytest.raises(CheckpointError, match="fx-d2 convert makes one of it"):
        export_weights.main()


def test_sizes_are_those_of_the_tiny_network():
    cfg = reference_config("foundation_x", SIZES)
    assert cfg.MODEL.BOX.NUM_HEADS * cfg.MODEL.BOX.NUM_POINTS == 8

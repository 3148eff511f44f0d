"""Weight files that are torn, foreign or hostile; and our own, written and read back."""

import os
import pickle

import pytest
import torch
from safetensors.torch import save_file

from fx_d2.checkpoint import CheckpointError, load_weights, read_weights
from fx_d2.checkpoint.convert import convert
from fx_d2.checkpoint.export import export_weights
from fx_d2.checkpoint.layouts import find_layout
from fx_d2.checkpoint.write import write_weights
from fx_d2.modeling import ModelEMA
from tests.tiny import make_model


class Evil:
    """Runs a command when it is unpickled."""

    def __reduce__(self):
        return os.system, ("touch " + str(self.path),)


def test_code_in_a_file_is_not_run(tmp_path):
    evil = Evil()
    evil.path = tmp_path / "ran"
    for name, write in (("zip.pth", torch.save), ("bare.pth", lambda x, path: path.write_bytes(pickle.dumps(x)))):
        write({"model": {"a": torch.zeros(2)}, "args": evil}, tmp_path / name)
        with pytest.raises(CheckpointError, match=name):
            read_weights(tmp_path / name)
    assert not evil.path.exists()


@pytest.mark.parametrize("name", ["cut.pth", "cut.safetensors", "text.pth", "text.safetensors", "empty.pth"])
def test_torn_and_foreign_files(name, tmp_path):
    path = tmp_path / name
    if name.startswith("cut"):
        write_weights(tmp_path / f"whole{path.suffix}", make_model().state_dict())
        path.write_bytes((tmp_path / f"whole{path.suffix}").read_bytes()[:5000])
    else:
        path.write_text("<html>not found</html>" if name.startswith("text") else "")
    with pytest.raises(CheckpointError, match=name):
        read_weights(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds a list, not tensors by name"),
        ({"epoch": 3}, "holds no weights; it has epoch"),
        ({"model": {}}, "holds no weights"),
        ({}, "holds no weights; it has nothing"),
    ],
)
def test_files_without_weights(content, message, tmp_path):
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=message):
        read_weights(tmp_path / "x.pth")


def test_missing_file():
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_weights("nowhere.pth")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_weights("nowhere.safetensors")


def test_unknown_layout(tmp_path):
    torch.save({"model": {"conv1.weight": torch.zeros(1), "fc.bias": torch.zeros(1)}}, tmp_path / "resnet.pth")
    with pytest.raises(CheckpointError, match=r"\(conv1.weight, fc.bias ...\) are of no known layout; known: fx_d2, "):
        load_weights(tmp_path / "resnet.pth", make_model())
    with pytest.raises(CheckpointError, match="not of layout 'ark'"):
        load_weights(tmp_path / "resnet.pth", make_model(), layout="ark")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_written_weights_come_back(suffix, tmp_path):
    model, taught = make_model(), make_model()
    with torch.no_grad():
        for parameter in taught.parameters():
            parameter.add_(1.0)
    classes = {"one/cls": ["Nodule"]}
    path = tmp_path / f"weights{suffix}"
    facts = {"classes": classes, "exclusive": ["two/cls"], "config": "A: 1", "notice": "Look."}
    write_weights(path, model.state_dict(), taught.state_dict(), **facts)
    file = read_weights(path)
    assert (file.classes, list(file.exclusive), file.config, file.notice) == (classes, ["two/cls"], "A: 1", "Look.")
    for part, source in (("student", model), ("teacher", taught)):
        assert file.part(part).keys() == source.state_dict().keys()
        for name, tensor in source.state_dict().items():
            assert torch.equal(file.part(part)[name], tensor) and file.part(part)[name].dtype == tensor.dtype
    assert find_layout(set(file.part("student"))).name == "fx_d2"
    other, teacher = make_model(), ModelEMA(make_model())
    assert load_weights(path, other, teacher).names("missing") == []
    assert torch.equal(
        teacher.model.state_dict()["heads.cls.norm.weight"], taught.state_dict()["heads.cls.norm.weight"]
    )
    assert not list(tmp_path.glob(".*"))


def test_a_teacher_that_never_started_is_none(tmp_path):
    model = make_model()
    torch.save({"model": model.state_dict(), "teacher": ModelEMA(model).state_dict()}, tmp_path / "x.pth")
    assert set(read_weights(tmp_path / "x.pth").states) == {"student"}


def test_other_classes_are_refused(tmp_path):
    model = make_model()
    write_weights(tmp_path / "x.pth", model.state_dict(), classes={"one/cls": ["Mass"]})
    with pytest.raises(CheckpointError, match=r"one/cls was trained with classes \['Mass'\], .* has \['Nodule'\]"):
        load_weights(tmp_path / "x.pth", model)


def test_safetensors_of_strangers(tmp_path):
    state = {f"module.{name}": tensor for name, tensor in make_model().state_dict().items()}
    save_file(state, tmp_path / "x.safetensors")
    assert load_weights(tmp_path / "x.safetensors", make_model()).names("missing") == []
    save_file(state, tmp_path / "y.safetensors", metadata={"classes": "{"})
    with pytest.raises(CheckpointError, match="class names are not JSON"):
        read_weights(tmp_path / "y.safetensors")


def test_bad_ending(tmp_path):
    with pytest.raises(CheckpointError, match=r"must end in \.pth or \.safetensors"):
        write_weights(tmp_path / "x.onnx", {"a": torch.zeros(1)})


def test_what_an_older_checkpoint_does_not_say_is_not_made_up(tmp_path):
    """Which classes exclude each other: nothing stored stays nothing, through conversion and export."""
    torch.save({"model": make_model().state_dict(), "classes": {"two/cls": ["Normal", "Mass"]}}, tmp_path / "old.pth")
    assert read_weights(tmp_path / "old.pth").exclusive is None
    for suffix in (".pth", ".safetensors"):
        convert(tmp_path / "old.pth", tmp_path / f"converted{suffix}")
        export_weights(tmp_path / "old.pth", tmp_path / f"exported{suffix}", "student")
        for name in ("converted", "exported"):
            file = read_weights(tmp_path / f"{name}{suffix}")
            assert file.exclusive is None and file.classes == {"two/cls": ["Normal", "Mass"]}

"""The weights of the package, with a small network in their place, and the notice that weights carry."""

import csv
import json
import re
from pathlib import Path

import pytest
import torch
from detectron2.modeling import build_model

import fx_d2
from fx_d2.checkpoint import files, load_configured, read_weights
from fx_d2.checkpoint.export import export_weights
from fx_d2.checkpoint.files import find_weights, same_tensor
from fx_d2.checkpoint.report import MISSING
from fx_d2.checkpoint.safe import CheckpointError
from fx_d2.commands import demo
from fx_d2.config import get_fx_cfg
from fx_d2.data.catalog import register_datasets
from fx_d2.prediction import packaged
from fx_d2.prediction.weights import load_networks
from fx_d2.tooling import run_tool
from tests.prediction.command import exit_code, read

NOTICE = "Never saw a patient."
UNIT = "phantom_screen/cls"


@pytest.fixture(scope="module")
def file(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("packaged") / "synthetic.safetensors"
    export_weights(trained.weights, path, half=True, config_file=str(trained.config), notice=NOTICE)
    return path


@pytest.fixture
def installed(file, monkeypatch, tmp_path):
    monkeypatch.setattr(files, "PACKAGED", file)
    monkeypatch.chdir(tmp_path)  # neither configuration nor data in the working folder
    monkeypatch.delenv("DETECTRON2_DATASETS", raising=False)
    return file


def test_the_default_predictor_is_the_network_in_half_precision(installed, trained):
    expected = fx_d2.Predictor.from_config(trained.config, trained.weights)(trained.images[0])
    predictor = fx_d2.Predictor.default()
    found = predictor(trained.images[0])
    assert predictor.notice == NOTICE and found.outputs.keys() == expected.outputs.keys()
    for unit in (UNIT, "phantom_emergency/cls"):
        assert found.scores(unit) == pytest.approx(expected.scores(unit), abs=5e-3)


def test_the_configuration_is_for_any_machine(installed, trained):
    cfg, defaults = packaged.packaged_config(["MODEL.MASK.THRESHOLD", 0.25]), get_fx_cfg()
    assert cfg.MODEL.DEVICE == defaults.MODEL.DEVICE and cfg.SOLVER.AMP == defaults.SOLVER.AMP
    assert cfg.MODEL.MASK.THRESHOLD == 0.25 and cfg.MODEL.WEIGHTS == str(installed)
    trained_cfg = get_fx_cfg()
    trained_cfg.merge_from_file(str(trained.config))
    assert cfg.MODEL.SWIN == trained_cfg.MODEL.SWIN and cfg.FX.CYCLE.UNITS == trained_cfg.FX.CYCLE.UNITS


def test_every_file_carries_the_notice(installed, trained, tmp_path, capsys):
    assert exit_code(["--input", str(trained.images[0]), "--output", "out"]) == 0
    assert NOTICE in capsys.readouterr().out
    data = read(tmp_path / "out")
    assert data["notice"] == NOTICE and data["weights"] == str(installed)
    tables = sorted((tmp_path / "out").glob("*.csv"))
    assert {table.name for table in tables} >= {"predictions.csv", "findings.csv"}
    for table in tables:
        with table.open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        assert rows and {row["notice"] for row in rows} == {NOTICE}
    for path in (tmp_path / "out" / "coco").glob("*.json"):
        assert json.loads(path.read_text())["info"]["description"].endswith(NOTICE)


def test_other_weights_carry_none(trained, call):
    code, folder = call("--input", str(trained.images[0]))
    assert code == 0 and "notice" not in read(folder)
    assert "notice" not in (folder / "predictions.csv").read_text().splitlines()[0]


def test_an_export_keeps_it(file, tmp_path):
    export_weights(file, tmp_path / "again.pth")
    again = read_weights(tmp_path / "again.pth")
    assert again.notice == NOTICE and again.config == read_weights(file).config


def test_an_exported_teacher_is_called_one(file, trained, tmp_path):
    assert fx_d2.Predictor.from_config(trained.config, file).model == "teacher"
    export_weights(trained.weights, tmp_path / "student.pth", "student")
    assert fx_d2.Predictor.from_config(trained.config, tmp_path / "student.pth").model == "student"
    with pytest.raises(CheckpointError, match="holds no student, only: teacher"):
        export_weights(file, tmp_path / "again.pth", "student")
    with pytest.raises(ValueError, match="holds no student; it has: teacher"):
        fx_d2.Predictor.from_config(trained.config, file, model="student")


def test_an_origin_that_is_neither_says_nothing(trained, tmp_path):
    content = torch.load(trained.weights, weights_only=False)
    torch.save(
        {"model": content["model"], "classes": content["classes"], "origin": "Some hospital"}, tmp_path / "w.pth"
    )
    assert fx_d2.Predictor.from_config(trained.config, tmp_path / "w.pth").model == "student"


def test_they_have_a_name_in_any_folder(installed, trained):
    cfg = trained.cfg.clone()
    cfg.MODEL.WEIGHTS = "packaged"
    register_datasets(cfg.DATASETS.FILES)
    network = build_model(cfg)
    assert not load_configured(cfg, network).names(MISSING)
    stored = read_weights(installed).part("student")
    assert all(same_tensor(value, stored[name].to(value.dtype)) for name, value in network.state_dict().items())
    named = fx_d2.Predictor.from_config(trained.config, "packaged")(trained.images[0])
    assert named.scores(UNIT) == fx_d2.Predictor.default()(trained.images[0]).scores(UNIT)
    assert find_weights("./packaged") == find_weights(Path("packaged")) == Path("packaged")  # a file of one's own


@pytest.mark.parametrize("load", [load_configured, lambda cfg, _: load_networks(cfg)])
def test_the_name_without_the_file(trained, monkeypatch, tmp_path, load):
    monkeypatch.setattr(files, "PACKAGED", tmp_path / "none.safetensors")
    cfg = trained.cfg.clone()
    cfg.MODEL.WEIGHTS = "packaged"
    with pytest.raises(FileNotFoundError, match="no weights come with this installation .*: check MODEL.WEIGHTS"):
        load(cfg, None)


@pytest.mark.parametrize("command", ["predict", "demo"])
def test_an_installation_without_weights_says_what_to_name(command, trained, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(files, "PACKAGED", tmp_path / "none.safetensors")
    if command == "predict":
        assert exit_code(["--input", str(trained.images[0]), "--output", str(tmp_path / "out")]) == 2
    else:
        pytest.importorskip("nicegui")
        with pytest.raises(SystemExit, match="2"):
            run_tool(lambda: demo.main([]))
    assert re.search(r"error: no weights come with this installation .*name a configuration", capsys.readouterr().err)

"""Scalars on Weights & Biases, with a stand-in and, where it is installed, with the library offline."""

import sys
from types import SimpleNamespace

import pytest
from detectron2.utils.events import EventStorage

from fx_d2 import get_fx_cfg
from fx_d2.engine.build import build_writers
from fx_d2.engine.wandb_writer import WandbWriter


@pytest.fixture
def cfg(tmp_path):
    cfg = get_fx_cfg()
    options = ["FX.WANDB.ENABLED", True, "FX.WANDB.MODE", "offline", "OUTPUT_DIR", str(tmp_path / "swin_run")]
    cfg.merge_from_list(options)
    return cfg


class FakeRun:
    id = "abc"

    def __init__(self):
        self.rows, self.finished = [], False

    def log(self, values, step):
        self.rows.append((step, values))

    def finish(self):
        self.finished = True


def test_every_scalar_is_sent_once_and_a_resumed_run_keeps_its_id(cfg, monkeypatch):
    opened, run = [], FakeRun()
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=lambda **k: opened.append(k) or run))
    writer = WandbWriter(cfg)
    with EventStorage(3) as storage:
        storage.put_scalar("loss", 0.5, smoothing_hint=False)
        assert not opened
        writer.write()
        writer.write()
        storage.iter = 4
        storage.put_scalar("lr", 0.1, smoothing_hint=False)
        writer.write()
    writer.close()
    assert run.rows == [(3, {"loss": 0.5}), (4, {"lr": 0.1})] and run.finished
    assert len(opened) == 1 and opened[0]["name"] == "swin_run" and opened[0]["id"] is None
    assert opened[0]["config"]["FX"]["WANDB"]["MODE"] == "offline"
    with EventStorage(5) as storage:
        storage.put_scalar("loss", 0.4, smoothing_hint=False)
        WandbWriter(cfg).write()
    assert opened[1]["id"] == "abc"


def test_a_missing_library_is_one_clear_message(cfg, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)  # import raises ImportError
    with pytest.raises(ValueError, match="FX.WANDB.ENABLED is True but wandb.*pip install"):
        WandbWriter(cfg)


def test_off_by_default_and_not_imported(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    cfg = get_fx_cfg()
    cfg.OUTPUT_DIR = str(tmp_path)
    writers = build_writers(cfg, schedule=SimpleNamespace(passes=[]))
    assert [type(writer).__name__ for writer in writers] == ["ProgressPrinter", "MetricsFile", "BoardWriter"]


def test_offline_with_the_library(cfg, tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="Weights & Biases is not installed (pip install 'fx_d2[wandb]')")
    monkeypatch.setenv("WANDB_SILENT", "true")
    writer = WandbWriter(cfg)
    with EventStorage() as storage:
        storage.put_scalar("loss", 0.5, smoothing_hint=False)
        writer.write()
    writer.close()
    folder = tmp_path / "swin_run" / "wandb"
    assert list(folder.glob("offline-run-*/run-*.wandb")), "no offline run was written"

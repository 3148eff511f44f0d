"""What a run says first, and what it leaves to log.txt."""

import logging
import subprocess
import sys
import warnings

import pytest

from fx_d2.commands.cli import leave_out_deprecations
from fx_d2.data.catalog import register_datasets
from fx_d2.engine.build import build_schedule
from fx_d2.engine.opening import detectron2_in_the_file, summary
from tests.tiny import tiny_config


def test_the_summary(cohort, tmp_path, fresh_catalog):
    units = ["phantom_screen/cls", "phantom_heart/box"]
    cfg = tiny_config(cohort, tmp_path / "run", **{"FX.CYCLE.UNITS": units, "FX.EVAL.CYCLES": 2})
    register_datasets(cfg.DATASETS.FILES)
    lines = summary(cfg, build_schedule(cfg)).splitlines()
    assert lines[0].split() == ["unit", "train", "images", "a", "cycle", "val", "test"]
    # Twelve training images: half of them locked for boxes, then all; batches of four.
    assert lines[2].split() == ["phantom_screen/cls", "12", "12", "released", "6", "6"]
    assert lines[3].split() == ["phantom_heart/box", "12", "6", "locked", "+", "12", "released", "6", "6"]
    assert lines[5] == "plan    2 cycles of 8 steps = 16 steps, 4 images each; val is scored after every 2 cycles"
    assert lines[6] == "device  CPU, 1 thread, float32"
    assert lines[7] == f"files   {(tmp_path / 'run').resolve()}; log.txt there has the whole configuration"
    evaluation = summary(cfg, None).splitlines()
    assert evaluation[0].split() == ["unit", "test"] and evaluation[2].split() == ["phantom_screen/cls", "6"]


def test_the_console_gets_warnings_alone(tmp_path, capsys):
    with detectron2_in_the_file(str(tmp_path)):
        for name in ("detectron2", "fvcore"):
            for handler in logging.getLogger(name).handlers:
                if handler.level == logging.WARNING:
                    handler.setStream(sys.stdout)
        logging.getLogger("detectron2").info("the whole configuration")
        logging.getLogger("detectron2").warning("something is wrong")
    shown, stored = capsys.readouterr().out, (tmp_path / "log.txt").read_text()
    assert "something is wrong" in shown and "whole configuration" not in shown
    assert "something is wrong" in stored and "whole configuration" in stored
    logging.getLogger("detectron2").info("afterwards")
    assert "afterwards" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("module", "category", "shown"),
    [
        ("torch.jit._script", FutureWarning, False),
        ("fvcore.common", DeprecationWarning, False),
        ("fx_d2.engine.build", FutureWarning, True),
        ("__main__", DeprecationWarning, True),
        ("torch.jit._script", UserWarning, True),
        ("fx_d2x", FutureWarning, False),
    ],
)
def test_deprecations_of_others_are_left_out(module, category, shown, monkeypatch):
    monkeypatch.setattr(sys, "warnoptions", [])
    monkeypatch.setenv("PYTHONWARNINGS", "")  # and puts it back
    with warnings.catch_warnings(record=True) as found:
        warnings.resetwarnings()
        leave_out_deprecations()
        warnings.warn_explicit("old", category, f"{module}.py", 1, module=module)
    assert bool(found) == shown


def test_processes_that_begin_anew_are_quiet_too(monkeypatch):
    monkeypatch.setattr(sys, "warnoptions", [])
    monkeypatch.setenv("PYTHONWARNINGS", "")
    with warnings.catch_warnings():
        leave_out_deprecations()
    warn = "import warnings\nfor name in ('torch.jit._script', 'fx_d2.ours'):\n"
    warn += "    warnings.warn_explicit(f'{name} is old', FutureWarning, 'file.py', 1, module=name)"
    shown = subprocess.run([sys.executable, "-c", warn], capture_output=True, text=True).stderr
    assert "fx_d2.ours is old" in shown and "torch.jit" not in shown


def test_the_users_own_filter_decides(monkeypatch):
    monkeypatch.setattr(sys, "warnoptions", ["default"])
    before = list(warnings.filters)
    leave_out_deprecations()
    assert warnings.filters == before

"""The runner with stand-ins for trainings: nothing is done twice, what fails or is cut off goes on."""

import json
import sys
import time

import pytest

from fx_d2.ablation import runs
from fx_d2.ablation.plan import Job
from fx_d2.ablation.runs import DONE, Runner, command, finished
from fx_d2.data.errors import DataError

JOBS = [Job("a", seed, "", {"SEED": seed}, 1) for seed in range(3)]
# Counts its starts; the second run fails at its first start.
SCRIPT = """
import pathlib, sys
folder = pathlib.Path(sys.argv[1]); log = folder / "starts"
starts = len(log.read_text()) if log.exists() else 0
log.write_text("x" * (starts + 1))
sys.exit(1 if folder.name == "seed1" and not starts else 0)
"""
SLEEPER = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *a: sys.exit(75)); time.sleep(60)"


def run(folder, jobs=JOBS, minutes=0.0):
    lines = []
    runner = Runner(folder, "base.yaml", 2, minutes, lines.append)
    runner.run(jobs)
    return runner, lines


def test_a_finished_run_is_not_repeated_and_a_failed_one_is(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "_PAUSE", 0.01)
    monkeypatch.setattr(runs, "command", lambda job, base, root: [sys.executable, "-c", SCRIPT, str(root / job.folder)])
    runner, lines = run(tmp_path)
    assert [job.seed for job in runner.failed] == [1] and "failed (exit 1)" in "".join(lines)
    runner, lines = run(tmp_path)
    assert runner.failed == [] and "3 runs, 2 finished before" in lines[0] and lines[-1].startswith("3 of 3")
    run(tmp_path)
    assert [(tmp_path / job.folder / "starts").read_text() for job in JOBS] == ["x", "xx", "x"]
    with pytest.raises(DataError, match="was trained with other keys"):
        run(tmp_path, [Job("a", 0, "", {"SEED": 0, "SOLVER.BASE_LR": 1.0}, 1)])


def test_the_time_limit_stops_runs_in_a_way_that_saves(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "_PAUSE", 0.01)
    monkeypatch.setattr(runs, "command", lambda *_: [sys.executable, "-c", SLEEPER])
    begun = time.monotonic()
    runner, _ = run(tmp_path, minutes=0.02)
    assert runner.paused == 3 and runner.active == {} and time.monotonic() - begun < 30
    assert not any(finished(tmp_path, job, "base.yaml") for job in JOBS)


def test_the_command_resumes_with_the_keys_of_the_arm(tmp_path):
    job = Job("a", 1, "d/cls", {"FX.CYCLE.UNITS": ["d/cls"], "MODEL.BOX.LAYOUT": "shared", "SEED": 1}, 1)
    line = command(job, "base.yaml", tmp_path)
    assert line[1:7] == ["-m", "fx_d2", "train", "--config-file", "base.yaml", "--resume"]
    assert line[7:-2] == ["FX.CYCLE.UNITS", "['d/cls']", "MODEL.BOX.LAYOUT", "shared", "SEED", "1"]
    assert line[-2:] == ["OUTPUT_DIR", str(tmp_path / "a/seed1/d_cls")]
    (tmp_path / job.folder).mkdir(parents=True)
    (tmp_path / job.folder / DONE).write_text(json.dumps({"run": {"base": "base.yaml", "keys": dict(job.keys)}}))
    assert finished(tmp_path, job, "elsewhere/base.yaml")

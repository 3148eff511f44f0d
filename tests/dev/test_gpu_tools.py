"""tools/dev/gpu_aims.py and gpu_phantoms.py, from files as the measurements and trainings leave them."""

import json
import re
import sys
from types import SimpleNamespace

import pytest

import gpu_aims
import gpu_phantoms
from fx_d2.engine.step_graphs import StepGraphs


def write(file, rows):
    file.write_text(json.dumps({"machine": {"gpu": "H100", "cores": "16", "batch": "24"}, "tables": {"a table": rows}}))


def report(folder, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gpu_aims.py", str(folder)])
    gpu_aims.main()
    machine, _, *lines = capsys.readouterr().out.splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]]
    return machine, {(cells[0], cells[1]): cells[2:] for cells in rows}


def test_aims_beside_measurements(tmp_path, monkeypatch, capsys):
    write(tmp_path / "step.json", [{"kind": "cls released", "seconds": 0.02}, {"kind": "box locked", "seconds": 0.11}])
    write(tmp_path / "large.json", [{"kind": "cls released", "share": 0.342}])
    write(tmp_path / "hours.json", [{"GPUs": 1, "hours of 150 cycles": 30.0}])
    write(tmp_path / "phantoms.json", [{"case": "all cycles", "means differ by": 0.0}])
    machine, found = report(tmp_path, monkeypatch, capsys)
    assert machine == "gpu H100, batch 24"
    assert found["step, cls released", "<= 22 ms"] == ["20 ms", "met"]
    assert found["step, box locked", "<= 55 ms"] == ["110 ms", "missed by 100.0%"]
    # 0.113 s and 0.258 s in float32
    assert found["as fast as launched in float32, cls released", ">= 3 times"] == ["5.65 times", "met"]
    assert found["as fast as launched in float32, box locked", ">= 3 times"] == ["2.35 times", "missed by 21.8%"]
    assert found["share of the matrix rate, cls released, 128 images", ">= 38 %"] == ["34.2 %", "missed by 10.0%"]
    assert found["150 published cycles", "<= 45 h"][1] == "met"
    assert found["150 published cycles", "<= 24 h"][1] == "missed by 25.0%"
    assert found["phantoms, losses of recorded and launched steps differ by", "<= 1 %"] == ["0 %", "met"]
    assert found["prediction, all heads", ">= 200 images/s"] == ["", "not measured"]


@pytest.mark.parametrize("text", ["", "[]", '{"tables": {"a": [{"kind": "mask locked", "note": "does not fit"}]}}'])
def test_what_is_missing_or_broken_is_not_measured(text, tmp_path, monkeypatch, capsys):
    (tmp_path / "step.json").write_text(text)
    machine, found = report(tmp_path, monkeypatch, capsys)
    assert machine == "no step was measured"
    assert len(found) == 17 and all(cells == ["", "not measured"] for cells in found.values())


def write_run(folder, values):
    folder.mkdir()
    lines = [{"iteration": i, f"{unit}/total_loss": value, "lr": 1.0} for i, (unit, value) in enumerate(values)]
    (folder / "metrics.json").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_losses_of_two_runs_by_hand(tmp_path):
    cycle = [("x/cls", 1.0), ("x/cls", 3.0), ("y/box", 5.0)]
    write_run(tmp_path / "a", cycle * 2)
    write_run(tmp_path / "short", cycle)
    with pytest.raises(ValueError, match="did not take the same steps: 6 and 3"):
        gpu_phantoms.compare(tmp_path / "a", tmp_path / "short", 2)
    write_run(tmp_path / "b", [*cycle, ("x/cls", 2.0), ("x/cls", 3.0), ("y/box", 4.5)])
    first, second, all_cycles = gpu_phantoms.compare(tmp_path / "a", tmp_path / "b", 2)
    assert first["means differ by"] == first["a step by"] == 0
    # Means 2 and 2.5 of the findings, 5 and 4.5 of the boxes; the first step has 1 and 2.
    assert second == {"case": "cycle 2", "means differ by": 0.2, "in": "x/cls", "a step by": 0.5}
    assert all_cycles == second | {"case": "all cycles"}


def test_what_a_run_says_of_its_recordings_is_read(tmp_path):
    training = gpu_phantoms.Training(tmp_path, "run", 3, [])
    training.run.mkdir()
    graphs = SimpleNamespace(played=9, written=1, _steps=dict.fromkeys("abc"), seconds=1.25, bytes=3 * 2**29)
    (training.run / "log.txt").write_text(f"[11/27 fx_d2.engine.trainer]: {StepGraphs.__str__(graphs)}\n")
    row = training.row()
    assert list(row.values()) == ["run", 0.0, 90.0, 3.0, 1.2, 1.5]
    (training.run / "log.txt").write_text("nothing was recorded\n")
    assert list(training.row()) == ["case", "seconds with start"]


def stand_in(tmp_path, monkeypatch, script):
    """A program in place of the training."""
    file = tmp_path / "python"
    file.write_text(f"#!/bin/sh\ncd {tmp_path}/run\n{script}\n")
    file.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(file))
    training = gpu_phantoms.Training(tmp_path, "run", 3, ["MODEL.DEVICE", "cpu"])
    training.run.mkdir()
    return training


def test_a_training_is_stopped_when_half_is_done(tmp_path, monkeypatch):
    """Not by the heartbeat of an earlier process."""
    beat = """echo "{\\"pid\\": $$, \\"iteration\\": $1, \\"iterations\\": 6}" > new; mv new heartbeat.json"""
    script = f"""trap 'echo $done > stopped_at; exit 75' TERM
        echo "$*" > arguments
        for done in 1 2 3 4 5 6; do sleep 0.3; {beat.replace("$1", "$done")}; done"""
    training = stand_in(tmp_path, monkeypatch, script)
    (training.run / "heartbeat.json").write_text('{"pid": 1, "iteration": 6, "iterations": 6}')
    training.start("--resume", stop=True)
    assert int((training.run / "stopped_at").read_text()) in (3, 4)
    assert re.search(
        r"train .*--resume .*FX.CYCLE.COUNT 3 .*MODEL.DEVICE cpu", (training.run / "arguments").read_text()
    )
    assert 0.9 < training.seconds < 30


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 2", 2)])
def test_a_training_that_ends_by_itself_is_an_error(script, code, tmp_path, monkeypatch):
    training = stand_in(tmp_path, monkeypatch, script)
    with pytest.raises(ValueError, match=f"run: the training ended with exit code {code} instead of 75"):
        training.start(stop=True)

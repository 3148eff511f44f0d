"""tools/dev/plan_training.py, plan_memory.py, fetch_wheels.py and gpu_check.sh, without a network or a GPU."""

import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

import fetch_wheels
import plan_memory
import plan_training
from benchmarking.rates import read_rates
from tests.tiny import tiny_config

ROOT = Path(__file__).parents[2]
CONFIG = ["--config-file", str(ROOT / "configs" / "foundation_x_swin_b.yaml")]
RATES = "cls released=0.55,box locked=0.31,box released=0.19,mask locked=1.9,mask released=0.46"


def run(tool, monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["tool", *arguments])
    tool.main()
    return capsys.readouterr().out


def test_the_counts_that_come_with_the_package_are_of_its_network():
    """178,466,528 parameters (README) and 1153 numbers of a Locked mask pass of one class."""
    counts = json.loads((ROOT / "docs" / "scaling_counts.json").read_text())
    assert counts["parameters"] == 178_466_528 and counts["work"]["mask locked"]["trained"] == 1153
    assert set(counts["bytes"]) == {"float32", "bfloat16"}


def test_hours_from_measured_rates(monkeypatch, capsys):
    """A CPU: 738,806 / 0.55 + 28,596 / 0.31 + 57,192 / 0.19 + 12,913 / 1.9 + 25,826 / 0.46 + 2.9 s are 499.85 h."""
    out = run(plan_training, monkeypatch, capsys, *CONFIG, "--rates", RATES, "--gpus", "1")
    row = next(line for line in out.splitlines() if line.startswith("| 1 "))
    assert [cell.strip() for cell in row.split("|")[3:6]] == ["500", "500", "74978"]
    assert "measured rates" in out and "assumed: 0 us" in out and "compute 100 %" in row


def test_hours_from_an_assumed_share_of_a_peak(monkeypatch, capsys):
    out = run(plan_training, monkeypatch, capsys, *CONFIG, "--tflops", "346", "--batch-per-gpu", "24")
    assert out.startswith("ASSUMED 346 TFLOP/s in every step") and out.count("GPU(s), batch") == 3


def test_hours_are_written(tmp_path, monkeypatch, capsys):
    file = tmp_path / "hours.json"
    run(plan_training, monkeypatch, capsys, *CONFIG, "--rates", RATES, "--gpus", "1,8", "--json", str(file))
    (rows,) = json.loads(file.read_text())["tables"].values()
    assert [row["GPUs"] for row in rows] == [1, 8] and rows[0]["hours of 150 cycles"] == pytest.approx(74978, abs=1)


def test_both_or_neither_kind_of_rate_is_an_error(monkeypatch, capsys):
    for options in ([], ["--rates", RATES, "--tflops", "1"]):
        with pytest.raises(ValueError, match="either --rates .measured. or --tflops"):
            run(plan_training, monkeypatch, capsys, *CONFIG, *options)


@pytest.mark.parametrize("gpus", ["0", "2,x", "", "-1"])
def test_numbers_of_gpus_are_checked(gpus, monkeypatch, capsys):
    with pytest.raises(ValueError, match=f"--gpus takes numbers from 1, separated by commas, not '{gpus}'"):
        run(plan_training, monkeypatch, capsys, *CONFIG, "--tflops", "346", f"--gpus={gpus}")


@pytest.mark.parametrize("text", ["a: b", "[]", '{"parameters": 1}'])
def test_counts_of_something_else_are_refused(text, tmp_path, monkeypatch, capsys):
    file = tmp_path / "counts.json"
    file.write_text(text)
    with pytest.raises(ValueError, match="counts.json is no file of plan_memory.py --json"):
        run(plan_memory, monkeypatch, capsys, "--from", str(file))


def test_rates_of_a_benchmark(tmp_path):
    """A step that did not fit has no rate; other tables have no kinds."""
    rows = [{"kind": "box locked", "images/s": 3.5}, {"kind": "box released", "images/s": None}]
    file = tmp_path / "bf16.json"
    file.write_text(json.dumps({"machine": {}, "tables": {"Training step": rows, "Prediction": [{"images/s": 1.0}]}}))
    assert read_rates(str(file)) == {("box", "head"): 3.5}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cls=1", "'cls' is no kind of pass"),
        ("cls released=fast", "cls released=fast: could not convert"),
        ("cls released=0", "a rate is above 0"),
        ("cls released=1,box", "'box' is not of the form"),
    ],
)
def test_wrong_rates_are_named(text, message):
    with pytest.raises(ValueError, match=message):
        read_rates(text)


def test_a_foreign_file_is_named(tmp_path):
    for content, message in (
        ("[]", "is no file of tools/dev/benchmark.py"),
        ('{"tables": {}}', "has no training step"),
    ):
        file = tmp_path / "x.json"
        file.write_text(content)
        with pytest.raises(ValueError, match=message):
            read_rates(str(file))


def test_memory_is_counted_and_printed_again(tmp_path, monkeypatch, capsys):
    cfg = tiny_config(
        tmp_path, tmp_path, **{"DATASETS.FILES": [], "FX.CYCLE.UNITS": ["chexpert/cls", "candid_ptx/mask"]}
    )
    (tmp_path / "config.yaml").write_text(cfg.dump())
    counts = str(tmp_path / "counts.json")
    first = run(plan_memory, monkeypatch, capsys, "--config-file", str(tmp_path / "config.yaml"), "--json", counts)
    assert run(plan_memory, monkeypatch, capsys, "--from", counts) == first
    found = json.loads(Path(counts).read_text())
    assert list(found["work"]) == ["cls released", "mask locked", "mask released"]
    assert "Settings with which a batch of 24" in first and first.count("cls released") == 2 * 4


def test_measured_peaks_grow_on_a_cpu(tmp_path, monkeypatch, capsys):
    cfg = tiny_config(tmp_path, tmp_path, **{"DATASETS.FILES": [], "FX.CYCLE.UNITS": ["chexpert/cls", "node21/box"]})
    (tmp_path / "config.yaml").write_text(cfg.dump())
    out = run(plan_memory, monkeypatch, capsys, "--config-file", str(tmp_path / "config.yaml"), "--measure", "2")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in out.splitlines()[4:]]
    assert [row[:2] for row in rows] == [["cls released", "2"], ["box locked", "2"], ["box released", "2"]]
    assert 0.1 < float(rows[0][2]) <= float(rows[1][2]) <= float(rows[2][2]) < 24


def test_wheels_are_what_setup_asks_for():
    wanted = [fetch_wheels.normal(item) for item in fetch_wheels.requirements()]
    assert not {"torch", "torchvision", "triton"} & set(wanted)
    assert {"scipy", "pydicom", "fvcore", "iopath", "setuptools", "pytest", "hotcoco"} <= set(wanted)
    assert "iopath<0.1.10" in fetch_wheels.requirements() and "iopath<0.1.10" in fetch_wheels.SOURCE_ONLY


def test_what_is_there_already_is_read_from_pip():
    lines = ["# list", "Jinja2==3.1.6\n", "scikit_learn==1.9.1", "sal-detectron2 @ file:///x", "", "-e git+x"]
    assert fetch_wheels.already_there(lines) == {"jinja2", "scikit-learn", "sal-detectron2"}


def test_fetched_wheels_leave_out_what_is_there(tmp_path, monkeypatch):
    """A stand-in for pip writes the files; a package with an upper bound is carried all the same."""

    def pip(command, *arguments):
        folder = Path(arguments[arguments.index("-w" if command == "wheel" else "-d") + 1])
        folder.mkdir()
        names = ["sal_detectron2-0.7.2-cp310-none-any.whl"] if arguments[-1].startswith("sal-") else NAMES
        for name in names:
            (folder / name).write_bytes(b"x")

    names = ("numpy-2-cp312-cp312-linux.whl", "setuptools-80-py3-none-any.whl", "yacs-0.1.8-py3-none-any.whl")
    NAMES = list(names)
    monkeypatch.setattr(fetch_wheels, "pip", pip)
    with pytest.raises(ValueError, match="another sha256"):
        fetch_wheels.fetch(tmp_path / "wheels", "3.12", set())
    monkeypatch.setattr(
        fetch_wheels, "REGISTRY_SHA256", "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    )
    found = fetch_wheels.fetch(tmp_path / "wheels", "3.12", {"numpy", "setuptools"})
    assert {path.name.split("-")[0] for path in found} == {"sal_detectron2", "setuptools", "yacs"}
    assert sorted(found) == sorted((tmp_path / "wheels").iterdir())


def test_wheels_are_fetched_by_a_script_that_finds_its_module():
    """pytest's own path has the folder of install_detectron2.py, a user's has not."""
    command = [sys.executable, str(ROOT / "tools" / "dev" / "fetch_wheels.py"), "--help"]
    assert "--have" in subprocess.run(command, capture_output=True, text=True, check=True).stdout


def check_with_stub(tmp_path, **environment):
    """gpu_check.sh with an interpreter that only notes what it was asked; exit code, summary, and the notes."""
    stub = tmp_path / "python"
    stub.write_text(f'#!/bin/sh\necho "$*" >> {tmp_path}/asked\ncase $* in $FAIL) exit 3 ;; esac\n')
    stub.chmod(0o755)
    command = ["sh", str(ROOT / "tools" / "dev" / "gpu_check.sh"), str(tmp_path / "out")]
    env = {**os.environ, "PYTHON": str(stub), "WHEELS": str(tmp_path / "none"), "FAIL": "nothing", **environment}
    code = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, check=False).returncode
    return code, (tmp_path / "out" / "summary.txt").read_text(), (tmp_path / "asked").read_text()


def test_the_gpu_check_runs_its_parts_in_order(tmp_path):
    code, summary, asked = check_with_stub(tmp_path)
    found = re.findall(r"gpu_check: (\S+): ok", summary)
    together = ["blocks-tests", "first", "phantoms", "steps-tests", "tests"]
    assert found[0] == "machine" and sorted(found[1:6]) == together
    parts = "step large kernels recordings memory infer others step-fp32 published compiled compiled-tests"
    assert found[6:] == parts.split()
    assert code == 0
    assert "--precision fp32 --no-memory" in asked and "--batch 128 --repeats 5 FX.COMPILE default" in asked
    assert asked.splitlines()[-1] == f"tools/dev/gpu_aims.py {tmp_path}/out"


def test_the_gpu_check_leaves_one_archive(tmp_path):
    """Of a part that failed, too; without an earlier run's files."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old.json").write_text("{}")
    code, summary, _ = check_with_stub(tmp_path, FAIL="*test_blocks_gpu*")
    assert code == 1 and "blocks-tests: failed (3)" in summary and summary.count(": ok") == 16
    with tarfile.open(tmp_path / "out.tar.gz") as archive:
        names = archive.getnames()
        text = archive.extractfile("summary.txt").read().decode()
    assert text == summary and names[:2] == ["summary.txt", "aims.txt"]
    assert {"blocks-tests.txt", "blocks-tests.log", "step.txt"} < set(names) and "old.json" not in names


def test_the_gpu_check_starts_nothing_when_its_time_is_over(tmp_path):
    code, summary, asked = check_with_stub(tmp_path, SECONDS_IN_ALL="0")
    assert code == 1 and "ok" not in summary and "published: left out, no time is left" in summary
    assert "benchmark" not in asked and "gpu_aims" in asked
    assert "SECONDS_IN_ALL:-480" in (ROOT / "tools" / "dev" / "gpu_check.sh").read_text()

"""The tool: exit codes, the table on standard output, strict JSON."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fx_d2.commands import check_data

pytestmark = pytest.mark.usefixtures("fresh_catalog")


@pytest.fixture
def call(cohort, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(cohort))

    def run(*arguments, units="['phantom_screen/cls', 'phantom_emergency/mask']"):
        config = tmp_path / "config.yaml"
        config.write_text(f"DATASETS:\n  FILES: [phantoms/phantoms.yaml]\nFX:\n  CYCLE:\n    UNITS: {units}\n")
        cache = ["--cache", str(tmp_path / "cache.sqlite")]
        code = check_data.main(["--config-file", str(config), *cache, *arguments])
        return code, capsys.readouterr().out

    return run


def strict(path):
    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    return json.loads(path.read_text(), parse_constant=refuse)


def test_a_clean_cohort(call, tmp_path):
    code, text = call("--json", str(tmp_path / "out" / "data.json"))
    assert code == 0 and "No problem and no leak found." in text
    content = strict(tmp_path / "out" / "data.json")
    assert content["exit_code"] == 0 and content["problems"] == []
    assert set(content["datasets"]) == {"phantom_screen", "phantom_emergency"}
    splits = content["datasets"]["phantom_screen"]["splits"]
    assert {name: split["images"] for name, split in splits.items()} == {"train": 12, "val": 6, "test": 6}
    nodule = splits["train"]["tasks"]["cls"]["labels"]["Nodule"]
    assert sum(nodule.values()) == 12


def test_problems_and_their_exit_code(call, tmp_path):
    # tbx11k is built in and not there: one problem for each of its splits, and the cohort is still checked.
    code, text = call("--no-pixels", "--json", str(tmp_path / "d.json"), units="[tbx11k/box, phantom_screen/cls]")
    assert code == 1 and "Problems\n" in text and "tbx11k/box train" in text
    assert list(strict(tmp_path / "d.json")["datasets"]) == ["phantom_screen"]


@pytest.mark.parametrize(
    ("arguments", "units", "message"),
    [
        (["--sample", "-1"], "[phantom_screen/cls]", "--sample and --workers take 0 or more"),
        ([], "[]", "FX.CYCLE.UNITS is empty"),
        ([], "[phantom_screen]", "phantom_screen"),
        (["NO.KEY", "1"], "[phantom_screen/cls]", "unknown key 'NO'"),
    ],
)
def test_a_mistake_in_the_call(call, arguments, units, message):
    with pytest.raises(ValueError, match=message):
        call(*arguments, units=units)


def test_the_process_ends_with_the_exit_code(cohort, tmp_path):
    root = Path(__file__).parents[1]
    call = [sys.executable, "-W", "ignore", str(root / "tools" / "check_data.py"), "--config-file", "phantom.yaml"]
    call += ["--no-pixels", "FX.CYCLE.UNITS"]
    environment = {**os.environ, "DETECTRON2_DATASETS": str(cohort), "PYTHONPATH": str(root)}
    done = subprocess.run([*call, "['tbx11k/box']"], capture_output=True, text=True, env=environment)
    assert done.returncode == 1 and "0 leaks (exit code 1)" in done.stdout
    done = subprocess.run([*call, "['phantom']"], capture_output=True, text=True, env=environment)
    assert done.returncode == 2 and done.stderr.splitlines()[-1].startswith("error: ")

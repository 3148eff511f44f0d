"""The wheel, installed outside of the repository: its configurations, and a run from phantoms to predictions."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from fx_d2 import get_config_file
from fx_d2.config import find_config_file

ROOT = Path(__file__).parents[1]
QUICK = (
    "FX.CYCLE.COUNT 1 FX.CYCLE.UNITS ['phantom_heart/cls','phantom_heart/box'] FX.EVAL.CYCLES 0 FX.EVAL.BOOTSTRAPS 20 "
    "FX.EVAL.OVERLAYS 0 FX.EVAL.REPORT_CASES 0 DATALOADER.NUM_WORKERS 0"
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Folder of an installation from the wheel, which is built from a copy: a build writes into its sources."""
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode:
        pytest.skip("pip is not installed")
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("fx_d2", "configs"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    quick = ["--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, "wheel", *quick, "--wheel-dir", str(folder), str(source)], check=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([*pip, "install", *quick, "--target", str(folder / "site"), str(wheel)], check=True)
    return wheel, folder / "site"


def test_every_configuration_is_in_the_wheel(installed):
    wheel, _ = installed
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if "/configs/" in name and not name.endswith("/")]
        packed = {name.removeprefix("fx_d2/configs/"): archive.read(name) for name in names}
    folder = ROOT / "configs"
    wanted = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.yaml")}
    assert packed == wanted and len(wanted) > 8


def test_the_wheel_draws_trains_reports_and_predicts(installed, tmp_path):
    _, site = installed
    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1", "PYTHONSAFEPATH": "1"}

    def command(line: str) -> str:
        done = subprocess.run(
            [sys.executable, str(site / "bin" / "fx-d2"), *line.split()],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout + done.stderr

    command("phantoms --images 20")
    console = command(f"train --config-file phantom.yaml OUTPUT_DIR run {QUICK}")
    assert re.search(r"phantom_heart/box +\d+ +16 locked \+ 64 released( +\d+){2}\n", console)
    assert f"files   {tmp_path / 'run'}; log.txt" in console and "Warning" not in console
    assert console.count("\n") < 100 and "Running with full config" not in console
    log = (tmp_path / "run" / "log.txt").read_text()
    assert re.search(rf"config_file={re.escape(str(site))}.*phantom\.yaml", log) and "Running with full config" in log
    assert command("report run").split()[-1] == "run/report.html" and (tmp_path / "run" / "report.html").is_file()
    (images,) = tmp_path.glob("datasets/phantoms/*heart/images")
    weights = "MODEL.WEIGHTS run/model_final.pth"
    command(f"predict --config-file run/config.yaml --input {images} --output out {weights}")
    assert len(list((tmp_path / "out" / "overlays").glob("*.png"))) == 20


def test_a_configuration_is_found_by_name_or_named_as_missing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    packaged = get_config_file("phantom.yaml")
    assert Path(packaged).read_bytes() == (ROOT / "configs" / "phantom.yaml").read_bytes()
    assert find_config_file("configs/phantom.yaml") == find_config_file("phantom.yaml") == packaged
    (tmp_path / "phantom.yaml").write_text("VERSION: 2\n")
    assert find_config_file("phantom.yaml") == "phantom.yaml"  # a file of one's own comes first
    with pytest.raises(ValueError, match=r"jsrt2.yaml: there is no such file, and .*did you mean 'finetune/jsrt.yaml'"):
        find_config_file("finetune/jsrt2.yaml")

"""``fx-d2`` and the files of ``tools/``: one main each, names, exit codes, and what runs without PyTorch."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from fx_d2 import __version__
from fx_d2.commands import cli

ROOT = Path(__file__).parents[2]
TOOLS = sorted(path for path in (ROOT / "tools").glob("*.py"))


def call(*arguments, monkeypatch, program="/somewhere/bin/fx-d2"):
    """Runs ``fx-d2 ARGUMENTS`` in this process; returns its exit code."""
    monkeypatch.setattr(sys, "argv", [program, *arguments])
    try:
        cli.main()
    except SystemExit as end:
        return end.code or 0
    return 0


def python(*arguments, code=0):
    """Standard output of a Python process that ends with the given code."""
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def test_the_page_names_every_command_and_fits_the_screen(monkeypatch, capsys):
    assert call("--help", monkeypatch=monkeypatch) == 0
    lines = capsys.readouterr().out.splitlines()
    named = [line.split()[0] for line in lines if re.match(r"  [a-z]\S+ +\S", line) and not line.startswith("  fx-d2")]
    assert named == list(cli.COMMANDS) and max(map(len, lines)) <= 120 and len(lines) <= 45


def test_version_and_mistakes(monkeypatch, capsys):
    assert call("--version", monkeypatch=monkeypatch) == 0
    assert capsys.readouterr().out == f"fx-d2 {__version__}\n"
    assert call("trian", monkeypatch=monkeypatch) == 2
    assert capsys.readouterr().err == "error: no command 'trian'; did you mean 'train'?\n"
    assert call(monkeypatch=monkeypatch) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err == cli.page()


@pytest.mark.parametrize("name", list(cli.COMMANDS))
def test_every_command_explains_itself_by_the_name_it_was_called(name, monkeypatch, capsys):
    pytest.importorskip("nicegui") if name == "demo" else None
    assert call(name, "--help", monkeypatch=monkeypatch) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: fx-d2 {name} ") and "tools/" not in shown
    # An example of a call, in its own name; install-detectron2 and doctor take no arguments.
    assert f"fx-d2 {name}" in shown.split("\n\n", 1)[1]


def test_exit_codes_are_those_of_the_command(tmp_path, monkeypatch, capsys):
    assert call("schedule", "--config-file", "none.yaml", monkeypatch=monkeypatch) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert call("predict", "--output", "x", monkeypatch=monkeypatch) == 2
    assert "fx-d2 predict: error: --input and --output are needed" in capsys.readouterr().err
    assert call("dataset-tree", "montgomery", str(tmp_path), monkeypatch=monkeypatch) == 0


def test_every_tool_runs_a_command_and_every_command_but_doctor_has_a_tool():
    bodies = {path.stem: path.read_text() for path in TOOLS}
    called = {name: re.search(r'run\("(.+)"\)', body)[1] for name, body in bodies.items()}
    assert sorted([*called.values(), "doctor"]) == sorted(cli.COMMANDS)
    for name, command in called.items():
        path = re.search(r"fx_d2/commands/\w+\.py", bodies[name])[0]
        assert path == f"fx_d2/commands/{command.replace('-', '_')}.py" and (ROOT / path).is_file()


def test_a_tool_and_python_m_are_the_same_command(tmp_path):
    folders = [str(tmp_path / name) for name in ("a", "b")]
    first = python("tools/make_dataset_tree.py", "node21", folders[0])
    second = python("-m", "fx_d2", "dataset-tree", "node21", folders[1])
    assert first.replace(folders[0], "") == second.replace(folders[1], "") and "node21: " in first


WITHOUT = """
import sys
for name in ("torch", "torchvision", "detectron2"):
    sys.modules[name] = None  # its import fails, as if it were not installed
sys.argv = ["fx-d2", *{arguments}]
from fx_d2.commands import cli
cli.main()
"""


def test_without_pytorch_the_page_shows_and_commands_say_what_is_missing():
    assert "fx-d2 phantoms" in python("-c", WITHOUT.format(arguments=["--help"]))
    assert "fix: " in python("-c", WITHOUT.format(arguments=["doctor"]), code=1)
    assert "Detectron2 has no release" in python("-c", WITHOUT.format(arguments=["install-detectron2", "--help"]))
    missing = python("-c", WITHOUT.format(arguments=["train"]), code=2)
    assert re.match(r"error: (torch|detectron2)\S* is not installed; .* -m fx_d2 install-detectron2\n$", missing), (
        missing
    )


def test_the_page_imports_nothing_heavy():
    shown = python("-X", "importtime", "-m", "fx_d2", "--help")
    imported = {line.rpartition("|")[2].strip() for line in shown.splitlines() if line.startswith("import time")}
    assert "fx_d2.commands.cli" in imported and not imported & {"torch", "numpy", "detectron2", "cv2", "yaml"}

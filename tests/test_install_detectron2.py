"""The order of the sources, what makes each one fail, and what is then said; nothing is installed here."""

from __future__ import annotations

import hashlib
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from fx_d2.commands import install_detectron2 as installer

WHEEL = b"not really a wheel"
REAL_SHA256 = installer.REGISTRY_SHA256


class Machine:
    """Answers the commands of the installer as a machine with the given abilities would, and records them."""

    def __init__(self, *, torch=True, installed=False, git=True, build=True, registry=True, works=True):
        self.torch, self.installed, self.works = torch, installed, works
        self.git, self.build, self.registry = git, build, registry
        self.done: list[str] = []

    def __call__(self, command, *, timeout=None, env=None):
        ok = getattr(self, self._kind(command))(command, timeout, env or {})
        return CompletedProcess(command, 0 if ok else 1, "0.7.2 /site/detectron2\n", "" if ok else "ERROR: it broke\n")

    def _kind(self, command):
        if command[0] == "git":
            return "ls_remote"
        if "pip" in command:
            words = " ".join(command)
            return "fetch" if "download" in command else "build_commit" if "git+" in words else "place"
        return "probe" if "detectron2" in command[-1] else "torch_probe"

    def torch_probe(self, command, timeout, env):
        return self.torch

    def probe(self, command, timeout, env):
        self.done.append("probe")
        return self.installed

    def ls_remote(self, command, timeout, env):
        self.done.append("ls-remote")
        assert timeout == 10 and env["GIT_TERMINAL_PROMPT"] == "0"
        return self.git

    def build_commit(self, command, timeout, env):
        self.done.append("build")
        assert {"--no-build-isolation", "--no-deps"} <= set(command)
        assert command[-1].endswith(f"@{installer.COMMIT}") and env["CUDA_VISIBLE_DEVICES"] == ""
        self.installed = self.build and self.works
        return self.build

    def fetch(self, command, timeout, env):
        self.done.append("download")
        if self.registry:
            (Path(command[command.index("--dest") + 1]) / "sal_detectron2-0.7.2-cp310-none-any.whl").write_bytes(WHEEL)
        return self.registry

    def place(self, command, timeout, env):
        self.done.append("install")
        assert "--no-deps" in command and Path(command[-1]).read_bytes() == WHEEL
        self.installed = self.works
        return True


@pytest.fixture(autouse=True)
def tools_present(monkeypatch):
    monkeypatch.setattr(installer.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(installer, "REGISTRY_SHA256", hashlib.sha256(WHEEL).hexdigest())
    monkeypatch.delenv("CXX", raising=False)


def test_an_installed_one_is_kept(capsys):
    machine = Machine(installed=True)
    assert installer.main(machine) == 0
    assert machine.done == ["probe"]
    assert "kept the installed one" in capsys.readouterr().out


def test_the_official_repository_comes_first(capsys):
    machine = Machine()
    assert installer.main(machine) == 0
    assert machine.done == ["probe", "ls-remote", "build", "probe"]
    assert f"installed from the official repository at {installer.COMMIT}" in capsys.readouterr().out


REGISTRY = ["download", "install", "probe"]


@pytest.mark.parametrize(
    ("abilities", "missing", "done", "reason"),
    [
        ({"git": False}, (), ["ls-remote"], "does not answer (ERROR: it broke)"),
        ({"build": False}, (), ["ls-remote", "build"], "its build failed (ERROR: it broke)"),
        ({}, ("git",), [], "git is not installed"),
        ({}, ("c++", "g++", "clang++", "cl"), ["ls-remote"], "no C++ compiler is installed"),
    ],
)
def test_the_registry_is_the_fallback_and_says_why(monkeypatch, capsys, abilities, missing, done, reason):
    monkeypatch.setattr(installer.shutil, "which", lambda name: None if name in missing else f"/usr/bin/{name}")
    machine = Machine(**abilities)
    assert installer.main(machine) == 0
    assert machine.done == ["probe", *done, *REGISTRY]
    text = capsys.readouterr().out
    assert reason in text
    assert "installed from the registry build sal-detectron2==0.7.2, sha256 verified" in text


def test_a_wrong_sha256_is_never_installed(monkeypatch, capsys):
    monkeypatch.setattr(installer, "REGISTRY_SHA256", "0" * 64)
    machine = Machine(git=False)
    assert installer.main(machine) == 1
    assert machine.done == ["probe", "ls-remote", "download"]
    said = capsys.readouterr()
    assert "was NOT installed" in said.out and hashlib.sha256(WHEEL).hexdigest() in said.out
    assert "by hand" in said.err.lower()


def test_failure_prints_instructions(capsys):
    machine = Machine(git=False, registry=False)
    assert installer.main(machine) == 1
    said = capsys.readouterr()
    assert "pip could not download" in said.out
    for word in ("--no-build-isolation", "--target", installer.COMMIT, installer.REGISTRY_BUILD, REAL_SHA256):
        assert word in said.err


def test_a_source_that_does_not_import_is_not_success(capsys):
    machine = Machine(works=False)
    assert installer.main(machine) == 1
    assert machine.done == ["probe", "ls-remote", "build", "probe", *REGISTRY]
    assert capsys.readouterr().out.count("installed, but does not import") == 2


def test_torch_comes_before_detectron2(capsys):
    machine = Machine(torch=False)
    assert installer.main(machine) == 1
    assert machine.done == []
    assert "pip install torch torchvision" in capsys.readouterr().out


def test_pins_are_complete():
    assert len(installer.COMMIT) == 40 and int(installer.COMMIT, 16)
    assert len(REAL_SHA256) == 64 and int(REAL_SHA256, 16)
    assert "==" in installer.REGISTRY_BUILD


def test_a_command_that_is_missing_or_too_slow_has_failed():
    assert installer.run(["a-command-that-does-not-exist"]).returncode == 1
    slow = installer.run([installer.sys.executable, "-c", "import time; time.sleep(30)"], timeout=0.2)
    assert slow.returncode == 1 and "timed out" in slow.stderr

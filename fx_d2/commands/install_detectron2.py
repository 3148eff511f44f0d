"""Installs Detectron2 into the Python that runs this script, and says which source it took and why.

Detectron2 has no release of its own on the package registry. The sources, in this order:

1. an installed one that imports is kept;
2. the official repository at a pinned commit, where git reaches it and a C++ compiler can build it;
3. a build of the same code on the registry, pinned by version and sha256.

fx_d2 calls none of Detectron2's compiled operators, so all three serve it alike.

Example:
    fx-d2 install-detectron2
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from pathlib import Path

REPOSITORY = "https://github.com/facebookresearch/detectron2"
COMMIT = "02b5c4e295e990042a714712c21dc79b731e8833"  # main on 2026-06-06
REGISTRY_BUILD = "sal-detectron2==0.7.2"
REGISTRY_SHA256 = "491af0c7f79bdb2d178e46f6cb16a97c4ac968d45c41ea3f6b6435d59bbee561"
# The wheel is tagged for CPython 3.10, but its Python files run on any; pip must be told to look for that tag.
WHEEL_TAGS = ["--python-version", "3.10", "--implementation", "cp", "--abi", "none", "--platform", "any"]

INSTRUCTIONS = f"""Detectron2 could not be installed. By hand, in the same environment:
  with a C++ compiler:  python -m pip install --no-build-isolation --no-deps git+{REPOSITORY}@{COMMIT}
  or from the registry: python -m pip download --no-deps --only-binary=:all: {" ".join(WHEEL_TAGS)} {REGISTRY_BUILD}
                        compare its sha256 with {REGISTRY_SHA256}
                        python -m pip install --no-deps --only-binary=:all: {" ".join(WHEEL_TAGS)} \\
                            --target <site-packages of this Python> <that file>
Then run this script again; it only checks what is there."""

# What fx_d2 uses of it, in a process of its own: a broken extension must not take this one down.
PROBE = """
import torchvision, detectron2.engine, detectron2.evaluation, detectron2.modeling, detectron2.utils.visualizer
print(detectron2.__version__, detectron2.__path__[0])
"""

Runner = Callable[..., "subprocess.CompletedProcess[str]"]


def run(command: list[str], *, timeout: float = 1800, env: dict[str, str] | None = None):
    """Runs a command with its output captured; a command that is missing or too slow counts as failed."""
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, env={**os.environ, **(env or {})}, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, "", str(error))


def say(message: str) -> None:
    print(f"detectron2: {message}", flush=True)


def last_line(result: subprocess.CompletedProcess[str]) -> str:
    """The line that says why: the last error of pip or Python."""
    lines = [line.strip() for line in (result.stderr or result.stdout or "").splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    return (errors or lines or ["no message"])[-1]


def probe(runner: Runner) -> tuple[str, str]:
    """Imports Detectron2. Returns (version and folder, "") or ("", reason)."""
    result = runner([sys.executable, "-W", "ignore", "-c", PROBE])
    return (result.stdout.strip(), "") if result.returncode == 0 else ("", last_line(result))


def from_repository(runner: Runner) -> str:
    """Builds the pinned commit of the official repository. Returns the reason where it could not, else ""."""
    if shutil.which("git") is None:
        return "git is not installed"
    # Reachable? Asked first with a short limit, since pip would wait and retry for minutes.
    answer = runner(["git", "ls-remote", REPOSITORY, "HEAD"], timeout=10, env={"GIT_TERMINAL_PROMPT": "0"})
    if answer.returncode != 0:
        return f"{REPOSITORY} does not answer ({last_line(answer)})"
    if not (os.environ.get("CXX") or any(map(shutil.which, ("c++", "g++", "clang++", "cl")))):
        return "its setup.py compiles C++ and no C++ compiler is installed"
    say(f"building the official repository at {COMMIT[:7]}: about 3 minutes on 2 cores")
    requirement = f"detectron2 @ git+{REPOSITORY}@{COMMIT}"
    # Its setup.py imports torch, hence no isolation. Hiding the GPU keeps nvcc, and its version, out of the build.
    built = runner(
        [sys.executable, "-m", "pip", "install", "-q", "--no-build-isolation", "--no-deps", requirement],
        env={"CUDA_VISIBLE_DEVICES": "", "FORCE_CUDA": "0", "GIT_TERMINAL_PROMPT": "0"},
    )
    return "" if built.returncode == 0 else f"its build failed ({last_line(built)})"


def from_registry(runner: Runner) -> str:
    """Installs the pinned registry build after checking its sha256. Returns the reason where it could not, else ""."""
    pip = [sys.executable, "-m", "pip"]
    chosen = ["-q", "--no-deps", "--only-binary=:all:", *WHEEL_TAGS]
    with tempfile.TemporaryDirectory() as folder:
        fetched = runner([*pip, "download", *chosen, "--dest", folder, REGISTRY_BUILD])
        wheels = sorted(Path(folder).glob("*.whl"))
        if fetched.returncode != 0 or len(wheels) != 1:
            return f"pip could not download {REGISTRY_BUILD} ({last_line(fetched)})"
        digest = hashlib.sha256(wheels[0].read_bytes()).hexdigest()
        if digest != REGISTRY_SHA256:
            return f"{wheels[0].name} has sha256 {digest}, expected {REGISTRY_SHA256}; it was NOT installed"
        # --target is what lets pip accept the tag of another Python; --upgrade replaces a broken copy.
        target = sysconfig.get_paths()["purelib"]
        done = runner([*pip, "install", *chosen, "--upgrade", "--target", target, str(wheels[0])])
    return "" if done.returncode == 0 else f"pip could not install {wheels[0].name} ({last_line(done)})"


def main(runner: Runner = run) -> int:
    """Returns the exit status: 0 when Detectron2 imports at the end."""
    torch = runner([sys.executable, "-c", "import torch, torchvision"])
    if torch.returncode != 0:
        say(f"needs a working torch and torchvision first ({last_line(torch)})")
        say("install both from one index, for example: python -m pip install torch torchvision")
        return 1
    found, reason = probe(runner)
    if found:
        say(f"kept the installed one, it imports: {found}")
        return 0
    say(f"none that imports is installed ({reason})")

    sources = [
        (f"the official repository at {COMMIT}", from_repository),
        (f"the registry build {REGISTRY_BUILD}, sha256 verified", from_registry),
    ]
    for name, install in sources:
        reason = install(runner)
        if not reason:
            found, reason = probe(runner)
            if found:
                say(f"installed from {name}: {found}")
                return 0
            reason = f"installed, but does not import ({reason})"
        say(f"not from {name}: {reason}")
    print(INSTRUCTIONS, file=sys.stderr)
    return 1

#!/usr/bin/env python
"""Fetches the wheels that tools/dev/gpu_check.sh needs on a machine without a network, for that machine's Python.

python tools/dev/fetch_wheels.py --python 3.12 --to .whl                      # all but PyTorch: 187 MB
python -m pip list --format=freeze > have.txt                                 # there, on the other machine
python tools/dev/fetch_wheels.py --python 3.12 --to .whl --have have.txt      # here: only what it lacks

What setup.py asks for, pytest, hotcoco (COCO scores fast) and the registry's build of Detectron2, with all that these
ask for in turn. torch, torchvision and triton are left to the other machine, whose versions fit its driver. What
setup.py allows up to a version only is always carried. Two versions of a wheel in one folder cannot both be installed,
so the folder must be empty.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from fx_d2.commands.install_detectron2 import REGISTRY_BUILD, REGISTRY_SHA256, WHEEL_TAGS  # noqa: E402

EXTRAS = ("pytest", "hotcoco>=1.3")
# No wheel on the registry: built here, pure Python.
SOURCE_ONLY = ("fvcore", "iopath<0.1.10", "antlr4-python3-runtime==4.9.*")
# Come with PyTorch.
WITH_TORCH = {"torch", "torchvision", "triton"}
PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in (39, 35, 34, 31, 28, 27, 26, 24, 17, 12, 5)]
PLATFORMS += ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64"]


def normal(name: str) -> str:
    """A package's name as the registry compares it, from a name, a requirement or a file's name."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\s<>=!~;\[@]", name, maxsplit=1)[0]).lower()


def requirements(setup: Path = ROOT / "setup.py") -> list[str]:
    """INSTALL_REQUIRES, read without running the file, less what comes with PyTorch, and the extras."""
    for node in ast.parse(setup.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "INSTALL_REQUIRES":
            return [item for item in ast.literal_eval(node.value) if normal(item) not in WITH_TORCH] + list(EXTRAS)
    raise ValueError(f"{setup} has no INSTALL_REQUIRES")


def already_there(lines: Iterable[str]) -> set[str]:
    """Names in the lines of ``pip list --format=freeze`` (or plain names)."""
    return {normal(line.strip()) for line in lines if line.strip() and not line.startswith(("#", "-"))}


def pip(*arguments: str) -> None:
    """
    Raises:
        ValueError: pip fails; its own message is above.
    """
    if subprocess.run([sys.executable, "-m", "pip", "-q", *arguments], check=False).returncode:
        raise ValueError(f"pip {arguments[0]} failed; its message is above")


def fetch(folder: Path, python: str, have: set[str]) -> list[Path]:
    """The wheels, in ``folder``. ``have``: normal names of what the other machine has."""
    with tempfile.TemporaryDirectory() as name:
        built, found, detectron2 = (Path(name) / part for part in ("built", "found", "detectron2"))
        pip("wheel", "--no-deps", "-w", str(built), *SOURCE_ONLY)
        tags = ["--only-binary=:all:", "--implementation", "cp", "--python-version", python]
        tags += [word for platform in PLATFORMS for word in ("--platform", platform)]
        pip("download", *tags, "--find-links", str(built), "-d", str(found), *requirements())
        pip("download", "--no-deps", "--only-binary=:all:", *WHEEL_TAGS, "-d", str(detectron2), REGISTRY_BUILD)
        (wheel,) = detectron2.glob("*.whl")
        if hashlib.sha256(wheel.read_bytes()).hexdigest() != REGISTRY_SHA256:
            raise ValueError(f"{wheel.name} has another sha256 than {REGISTRY_SHA256}; it was not kept")
        folder.mkdir(parents=True, exist_ok=True)
        left = have - {normal(item) for item in requirements() if "<" in item}
        kept = [path for path in sorted([*found.glob("*.whl"), wheel]) if normal(path.name.split("-")[0]) not in left]
        return [Path(shutil.copy2(path, folder)) for path in kept]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default="3.12", help="of the other machine (default: %(default)s)")
    parser.add_argument("--to", type=Path, default=ROOT / ".whl", help="folder (default: .whl here)")
    parser.add_argument("--have", type=Path, help="what pip list --format=freeze printed there")
    args = parser.parse_args()
    if args.to.is_dir() and any(args.to.iterdir()):
        raise ValueError(f"{args.to} is not empty; --to names another folder")
    have = already_there(args.have.read_text(encoding="utf-8").splitlines()) if args.have else set()
    wheels = fetch(args.to, args.python, have)
    for wheel in wheels:
        print(f"{wheel.stat().st_size / 1e6:7.1f} MB  {wheel.name}")
    print(f"{sum(wheel.stat().st_size for wheel in wheels) / 1e6:7.1f} MB in {len(wheels)} wheels")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")

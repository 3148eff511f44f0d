"""Checks the installation: versions, device, and the state of the known traps, with the fix where one bites.

Example:
    fx-d2 doctor

Exits with 1 when a trap bites, else with 0. Runs where torch or Detectron2 do not import: everything is imported
inside the checks. Uses the standard library only, and nothing of this package.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shutil
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

OPENCV_FLAVOURS = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
PIP = f"{sys.executable} -m pip install"
# Below this, worker processes of a data loader can run out of shared memory ("bus error").
MIN_SHARED_MEMORY = 1 << 30


@dataclass(frozen=True)
class Check:
    """The result of one check.

    Attributes:
        name: what was checked.
        state: "ok", "note" (for information), "warning" (works, may surprise) or "trap" (does not work).
        detail: what was found.
        fix: what to do about a warning or a trap; empty for the other two.
    """

    name: str
    state: str
    detail: str
    fix: str = ""

    @property
    def ok(self) -> bool:
        return self.state != "trap"


def _import(name: str):
    """Imports a module. Returns (module, "") or (None, one line that says why not)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name), ""
    except Exception as error:  # a broken binary raises anything: ImportError, RuntimeError, ValueError, OSError
        first = (str(error).strip() or "no message").splitlines()[0]
        return None, f"{type(error).__name__}: {first}"


def _version(distribution: str) -> str | None:
    """The installed version of a distribution, or None."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def check_python() -> Check:
    detail = f"{platform.python_version()}, {platform.system()} {platform.machine()}"
    if tuple(map(int, platform.python_version_tuple()[:2])) < (3, 10):
        return Check("python", "trap", detail, "use Python 3.10 or newer: make install PYTHON=python3.12")
    return Check("python", "ok", detail)


def check_torch() -> Check:
    torch, why = _import("torch")
    if torch is None:
        return Check("torch", "trap", why, f"{PIP} torch torchvision")
    return Check("torch", "ok", f"{torch.__version__} ({_build(torch)} build)")


def _build(torch) -> str:
    if torch.version.cuda:
        return f"CUDA {torch.version.cuda}"
    return f"ROCm {torch.version.hip}" if getattr(torch.version, "hip", None) else "CPU"


def check_torchvision() -> Check:
    """A torchvision of another build than torch: "operator torchvision::nms does not exist"."""
    torch, why = _import("torch")
    if torch is None:
        return Check("torchvision", "trap", f"needs torch ({why})", f"{PIP} torch torchvision")
    fix = f"install both from one index: {PIP} --force-reinstall torch torchvision"
    torchvision, why = _import("torchvision")
    if torchvision is None:
        return Check("torchvision", "trap", f"{_version('torchvision')} with torch {torch.__version__}: {why}", fix)
    try:
        box = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
        torchvision.ops.nms(box, torch.ones(1), 0.5)
    except (RuntimeError, NotImplementedError, AttributeError) as error:
        detail = f"{torchvision.__version__} with torch {torch.__version__}: {str(error).splitlines()[0]}"
        return Check("torchvision", "trap", detail, fix)
    return Check("torchvision", "ok", torchvision.__version__)


def check_detectron2() -> Check:
    fix = f"{sys.executable} -m fx_d2 install-detectron2"
    detectron2, why = _import("detectron2")
    if detectron2 is None:
        return Check("detectron2", "trap", why, fix)
    detail = f"{detectron2.__version__} from {_detectron2_source()}, in {Path(detectron2.__file__).parent}"
    for part in ("engine", "evaluation", "modeling", "utils.visualizer"):
        module, why = _import(f"detectron2.{part}")
        if module is None:
            return Check("detectron2", "trap", f"{detail}; detectron2.{part} does not import: {why}", fix)
    return Check("detectron2", "ok", detail)


def _detectron2_source() -> str:
    """Which distributions own the detectron2 folder: the registry build, or a repository with its commit."""
    found = []
    for name in ("detectron2", "sal-detectron2"):
        version = _version(name)
        if version is None:
            continue
        origin = importlib.metadata.distribution(name).read_text("direct_url.json")
        if origin and name == "detectron2":
            origin = json.loads(origin)
            commit = origin.get("vcs_info", {}).get("commit_id", "")[:7]
            found.append(f"{origin['url']} {commit}".strip())
        else:
            found.append(f"the registry build {name} {version}")
    return " and ".join(found) or "a folder on the path"


def check_setuptools() -> Check:
    """detectron2.model_zoo imports pkg_resources, which setuptools 82 no longer has."""
    version = _version("setuptools")
    if importlib.util.find_spec("pkg_resources") is None:
        detail = f"setuptools {version}: no pkg_resources, which detectron2.model_zoo imports"
        return Check("setuptools", "trap", detail, f"{PIP} 'setuptools<81'")
    return Check("setuptools", "ok", f"{version}")


def check_opencv() -> Check:
    """Detectron2's Visualizer imports cv2 without declaring it; two flavours overwrite each other's files."""
    cv2, why = _import("cv2")
    if cv2 is None:
        return Check("opencv", "trap", why, f"{PIP} --force-reinstall opencv-python-headless")
    flavours = [f"{name} {_version(name)}" for name in OPENCV_FLAVOURS if _version(name)]
    if len(flavours) > 1:
        names = " ".join(name for name in OPENCV_FLAVOURS if _version(name))
        fix = f"keep one: {sys.executable} -m pip uninstall -y {names} && {PIP} opencv-python-headless"
        return Check("opencv", "warning", f"{cv2.__version__}; installed over each other: {', '.join(flavours)}", fix)
    return Check("opencv", "ok", flavours[0] if flavours else f"{cv2.__version__} (not from a package)")


def check_numpy() -> Check:
    numpy, why = _import("numpy")
    if numpy is None:
        return Check("numpy", "trap", why, f"{PIP} --force-reinstall numpy")
    return Check("numpy", "ok", numpy.__version__)


def check_pycocotools() -> Check:
    """pycocotools compiled for another numpy: "numpy.dtype size changed, may indicate binary incompatibility"."""
    mask, why = _import("pycocotools.mask")
    if mask is None:
        fix = f"{PIP} --force-reinstall --no-cache-dir --no-deps pycocotools"
        return Check("pycocotools", "trap", f"{_version('pycocotools')} with numpy {_version('numpy')}: {why}", fix)
    return Check("pycocotools", "ok", f"{_version('pycocotools')}")


def check_pins() -> Check:
    """Detectron2's own limits on two of its libraries."""
    limits = {"iopath": (0, 1, 10), "omegaconf": (2, 4)}
    versions = {name: _version(name) for name in limits}
    detail, fix = (
        ", ".join(f"{name} {version}" for name, version in versions.items()),
        f"{PIP} 'iopath<0.1.10' 'omegaconf<2.4'",
    )
    if None in versions.values():
        return Check("pins", "trap", detail, fix)
    if any(version and _numbers(version) >= limits[name] for name, version in versions.items()):
        return Check("pins", "warning", f"{detail}: beyond what Detectron2 allows", fix)
    return Check("pins", "ok", detail)


def _numbers(version: str) -> tuple[int, ...]:
    """ "0.1.9" -> (0, 1, 9); what follows the numbers (rc1, +cpu) is left out."""
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in match.group().split(".")) if match else ()


def check_device() -> Check:
    """Runs NMS on the GPU: a driver that is too old, a GPU that is too new or a CPU torchvision show only then."""
    torch, why = _import("torch")
    if torch is None:
        return Check("device", "trap", f"needs torch ({why})", f"{PIP} torch torchvision")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if not torch.cuda.is_available():
        if torch.version.cuda and Path("/dev/nvidia0").exists():
            fix = f"update the NVIDIA driver to one for CUDA {torch.version.cuda}, or install torch for your driver"
            return Check("device", "warning", f"CPU, {cores} cores; there is a GPU that torch cannot use", fix)
        return Check("device", "ok", f"CPU, {cores} cores")
    names = []
    for index in range(torch.cuda.device_count()):
        major, minor = torch.cuda.get_device_capability(index)
        names.append(f"{torch.cuda.get_device_name(index)} (compute capability {major}.{minor})")
    detail = f"{'; '.join(names)}; bf16 {'yes' if torch.cuda.is_bf16_supported() else 'no'}; {cores} CPU cores"
    try:
        boxes = torch.ones(2, 4, device="cuda")
        importlib.import_module("torchvision").ops.nms(boxes, boxes[:, 0], 0.5).sum().item()
    except (RuntimeError, ImportError, NotImplementedError) as error:
        fix = "install torch and torchvision built for this GPU (see pytorch.org), or train with MODEL.DEVICE cpu"
        return Check("device", "trap", f"{detail}; {str(error).splitlines()[0]}", fix)
    return Check("device", "ok", detail)


def check_datasets() -> Check:
    root = Path(os.environ.get("DETECTRON2_DATASETS", "datasets"))
    origin = (
        "$DETECTRON2_DATASETS"
        if "DETECTRON2_DATASETS" in os.environ
        else "the default, $DETECTRON2_DATASETS is not set"
    )
    state = "exists" if root.is_dir() else "does not exist yet"
    return Check("datasets", "ok" if root.is_dir() else "note", f"{root.absolute()} {state} ({origin})")


def check_shared_memory(folder: str = "/dev/shm") -> Check:
    if not Path(folder).is_dir():
        return Check("shared memory", "ok", f"no {folder} on this system")
    free = shutil.disk_usage(folder).free
    detail = f"{free / 2**30:.1f} GiB free in {folder}"
    if free < MIN_SHARED_MEMORY:
        return Check("shared memory", "warning", detail, "docker run --shm-size=8g, or DATALOADER.NUM_WORKERS 0")
    return Check("shared memory", "ok", detail)


CHECKS: tuple[Callable[[], Check], ...] = (
    check_python,
    check_torch,
    check_torchvision,
    check_detectron2,
    check_setuptools,
    check_opencv,
    check_numpy,
    check_pycocotools,
    check_pins,
    check_device,
    check_datasets,
    check_shared_memory,
)


def report(checks: list[Check]) -> str:
    """One line a check, a fix below it where there is one, and a closing line."""
    lines = []
    for check in checks:
        lines.append(f"[{check.state:^7}] {check.name:<13} {check.detail}")
        if check.fix:
            lines.append(f"{'':>10}fix: {check.fix}")
    traps = [check.name for check in checks if not check.ok]
    lines.append(f"{len(traps)} of {len(checks)} checks failed: {', '.join(traps)}" if traps else "fx_d2 is ready.")
    return "\n".join(lines)


def main() -> int:
    """Runs every check and returns the exit status."""
    checks = [check() for check in CHECKS]
    sys.stdout.write(report(checks) + "\n")
    return 0 if all(check.ok for check in checks) else 1


if __name__ == "__main__":
    sys.exit(main())

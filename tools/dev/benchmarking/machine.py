"""What a measurement ran on, and the rate of matrix products that is attainable there."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from pathlib import Path

import torch

# Sides of the square matrices: large enough for the full rate, small enough for a round of seconds.
_SIDE = {"cpu": 2048, "cuda": 8192}


def describe(device: torch.device) -> dict[str, str]:
    """Processor or GPU, cores or memory, versions."""
    found = {"torch": torch.__version__, "python": platform.python_version(), "processor": _processor()}
    found["cores"] = f"{len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()}"
    found["threads"] = str(torch.get_num_threads())
    if hasattr(os, "sysconf"):
        found["memory"] = f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        found["gpu"] = f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}"
    else:
        found["instructions"] = torch.backends.cpu.get_cpu_capability()
    return found


def _processor() -> str:
    """The model's name as Linux knows it, elsewhere what Python knows."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def matrix_product(device: torch.device, dtype: torch.dtype, side: int = 0) -> tuple[Callable[[], object], float]:
    """A square matrix product to time, and its floating-point operations (a multiplication and an addition each)."""
    side = side or _SIDE.get(device.type, 2048)
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    out = torch.empty_like(a)
    return lambda: torch.mm(a, b, out=out), 2.0 * side**3

"""``run.json``: when a run began and ended, with what, on how much data, and how far it came. The report reads it."""

from __future__ import annotations

import datetime
import importlib.metadata
import logging
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from detectron2.engine import HookBase
from detectron2.utils import comm

from ... import __version__
from ...config import unit_metadata
from ...data.loader import unit_sizes
from ...files import write_json
from ...report.run import RECORD, read_record
from ...schedule import CycleSchedule, Unit

logger = logging.getLogger(__name__)

_PACKAGES = ("detectron2", "torchvision", "numpy", "opencv-python-headless", "pycocotools", "scikit-learn")


class RunRecord(HookBase):
    """One session a process start; a killed run keeps its session without an end. Main process only.

    Args:
        sizes: training images of each unit.
    """

    def __init__(self, folder: str, device: str, sizes: Mapping[Unit, int]) -> None:
        self.folder, self.device, self.sizes = folder, device, sizes
        self._begun = False

    def before_train(self) -> None:
        begin_session(self.folder, "training", self.device, self.trainer.start_iter, self.trainer.schedule)
        record_images(self.folder, {unit: {"train": size} for unit, size in self.sizes.items()})
        self._begun = True

    def after_train(self) -> None:
        if self._begun:  # not so where another hook failed before the first step
            end_session(self.folder, self.trainer.finished_steps)


def begin_session(
    folder: str | Path, kind: str, device: str, start: int | None, schedule: CycleSchedule | None
) -> None:
    """Appends a session.

    Args:
        kind: ``training`` or ``evaluation``. start: steps done before it, None where nothing is trained.
        schedule: what is trained; None leaves the one that is recorded.
    """
    record = read_record(folder)
    record["sessions"].append(
        {
            "kind": kind,
            "began": _now(),
            "ended": None,
            "start": start,
            "stop": start,
            "command": f"{Path(sys.argv[0]).name} {shlex.join(sys.argv[1:])}",
            "device": device_name(device),
            "processes": comm.get_world_size(),
            "versions": versions(),
        }
    )
    if schedule is not None:
        passes = [
            {"unit": str(p.unit), "locked": p.locked, "images": p.images, "steps": p.steps} for p in schedule.passes
        ]
        record["schedule"] = {"cycles": schedule.cycles, "batch": schedule.batch_size, "passes": passes}
    write_json(Path(folder) / RECORD, record)


def end_session(folder: str | Path, stop: int | None = None) -> None:
    """Notes the time and the steps done of the last session, if there is one."""
    record = read_record(folder)
    if not record["sessions"]:
        return
    session = record["sessions"][-1]
    session["ended"] = _now()
    session["stop"] = session["stop"] if stop is None else stop
    write_json(Path(folder) / RECORD, record)


def count_images(folder: str | Path, units: Sequence[Unit], splits: Sequence[str]) -> None:
    """Notes the number of images of each unit in those of the splits that it has; of one that cannot be read, null."""
    found: dict[Unit, dict[str, int | None]] = {}
    for unit in units:
        for split in set(splits) & set(unit_metadata(unit).splits):
            try:
                found.setdefault(unit, {})[split] = unit_sizes([unit], split)[unit]
            except (ValueError, OSError) as error:  # a split that was neither trained nor scored
                logger.warning("report: images of %s %s are not counted: %s", unit, split, error)
                found.setdefault(unit, {})[split] = None
    record_images(folder, found)


def record_images(folder: str | Path, images: Mapping[Unit, Mapping[str, int | None]]) -> None:
    """Adds numbers of images, by unit and split."""
    record = read_record(folder)
    for unit, counts in images.items():
        record["images"].setdefault(str(unit), {}).update(counts)
    write_json(Path(folder) / RECORD, record)


def versions() -> dict[str, str]:
    """Of fx_d2, Python, PyTorch and the packages that decide what is computed."""
    found = {"fx_d2": __version__, "Python": platform.python_version(), "torch": torch.__version__}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    if torch.version.cuda:
        found["CUDA"] = torch.version.cuda
    return {**found, "system": f"{platform.system()} {platform.machine()}"}


def device_name(device: str) -> str:
    """``NVIDIA A100-SXM4-80GB``, or ``CPU, 2 threads``."""
    if device.startswith("cuda") and torch.cuda.is_available():
        return torch.cuda.get_device_name(torch.device(device))
    threads = torch.get_num_threads()
    return f"{device.upper()}, {threads} thread{'' if threads == 1 else 's'}"


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")

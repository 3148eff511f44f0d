"""What made a checkpoint, and whether another run may go on from it."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml
from detectron2.utils import comm

from .. import __version__
from ..config.node import flatten
from ..schedule import CycleSchedule

FORMAT = 1
# Where a run writes and what it starts from do not change what it computes.
_IRRELEVANT = ("OUTPUT_DIR", "MODEL.WEIGHTS", "MODEL.DEVICE")


@functools.cache
def code_version() -> str:
    """The package's version and, in a clone, its commit (``+`` where files were changed since)."""
    clone = Path(__file__).parents[2]
    if not (clone / ".git").exists():  # an installed package may lie in a repository of somebody else
        return __version__
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
            cwd=clone,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return __version__
    return f"{__version__} {described.stdout.strip()}"


def describe_run(cfg, schedule: CycleSchedule) -> dict[str, Any]:
    """Plain values that a checkpoint keeps: format, code, configuration, plan of the cycle, processes."""
    return {
        "format": FORMAT,
        "code": code_version(),
        "torch": str(torch.__version__),
        "config": cfg.dump(),
        "plan": [[str(s.unit), s.plan.train, s.images, s.steps] for s in schedule.passes],
        **({"order": schedule.order} if schedule.order != "cycle" else {}),
        "batch": schedule.batch_size,
        "cycles": schedule.cycles,
        "world_size": comm.get_world_size(),
    }


@dataclass
class RunDifferences:
    """Differences between a checkpoint's run and this one.

    Attributes:
        refused: an iteration would mean something else; the run cannot go on.
        allowed: the run can go on; each says what the difference means.
    """

    refused: list[str] = field(default_factory=list)
    allowed: list[str] = field(default_factory=list)


def compare_runs(stored: Mapping[str, Any], now: Mapping[str, Any]) -> RunDifferences:
    """Compares two :func:`describe_run`."""
    result = RunDifferences()
    if stored["format"] != now["format"]:
        result.refused.append(f"its format is {stored['format']}, this version writes {now['format']}")
    result.refused += _compare_plans(stored["plan"], now["plan"])
    if stored["batch"] != now["batch"]:
        result.refused.append(f"SOLVER.IMS_PER_BATCH was {stored['batch']}, is {now['batch']}")
    if stored["cycles"] != now["cycles"]:
        result.allowed.append(
            f"FX.CYCLE.COUNT was {stored['cycles']}, is {now['cycles']}: the learning rate follows the new length"
        )
    if stored["world_size"] != now["world_size"]:
        result.allowed.append(
            f"{stored['world_size']} process(es) before, {now['world_size']} now: the same images in the same order, "
            "other draws of dropped paths, dropout and denoising noise"
        )
    for key, old, new in _changed_keys(stored["config"], now["config"]):
        if key not in ("SOLVER.IMS_PER_BATCH", "FX.CYCLE.COUNT", "FX.CYCLE.UNITS", *_IRRELEVANT):
            result.allowed.append(f"{key} was {old!r}, is {new!r}: the new value holds from now on")
    for name in ("code", "torch"):
        if stored[name] != now[name]:
            result.allowed.append(f"version of {name}: {stored[name]} before, {now[name]} now")
    return result


def _compare_plans(stored: list, now: list) -> list[str]:
    """Differences of units, of their order, and of their passes, in words."""
    old_units, new_units = (list(dict.fromkeys(row[0] for row in plan)) for plan in (stored, now))
    gone, added = ([u for u in a if u not in b] for a, b in ((old_units, new_units), (new_units, old_units)))
    differences = []
    if gone:
        differences.append(f"units no longer in the cycle: {', '.join(gone)}")
    if added:
        differences.append(f"units new in the cycle: {', '.join(added)}")
    if not (gone or added) and old_units != new_units:
        differences.append(f"order of the units was {', '.join(old_units)}; is {', '.join(new_units)}")
    for unit in [u for u in new_units if u in old_units]:
        old, new = ([row[1:3] for row in plan if row[0] == unit] for plan in (stored, now))
        if old != new:
            differences.append(f"passes of {unit} were {_passes(old)}; are {_passes(new)}")
    return differences


def _passes(rows: list) -> str:
    return " + ".join(f"{train} {images} images" for train, images in rows)


def _changed_keys(stored: str, now: str) -> list[tuple[str, Any, Any]]:
    old, new = (flatten(yaml.safe_load(text)) for text in (stored, now))
    return [(key, old.get(key), new.get(key)) for key in sorted({*old, *new}) if old.get(key) != new.get(key)]

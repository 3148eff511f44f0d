"""The file of an ablation: arms, seeds, claims; and the runs that follow from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..config import find_config_file, get_fx_cfg
from ..config.node import Config, flatten
from ..data.errors import DataError, nearest
from ..data.yaml_section import Section, read_section
from ..schedule import TASKS

MEASURES = {
    "teacher": "the teacher on the test split",
    "student": "the student on the test split",
    "teacher_mid": "the teacher on the validation split in mid-run",
    "student_mid": "the student on the validation split in mid-run",
    "kept": "what a cycle's other units do to a unit's score (student; below 0: forgetting)",
}


@dataclass(frozen=True)
class Arm:
    """Keys on the common base. ``single``: one network per unit, which sees as many images of it as the joint run."""

    name: str
    about: str
    keys: Mapping[str, Any] = field(default_factory=dict)
    single: bool = False


@dataclass(frozen=True)
class Claim:
    """``first`` minus ``second``, each (arm, measure), is above ``at_least``.

    Refuted where the difference surely stays below ``at_least`` + ``margin``. ``tasks``: those that it is about.
    """

    text: str
    first: tuple[str, str]
    second: tuple[str, str]
    at_least: float = 0.0
    margin: float = 0.01
    tasks: tuple[str, ...] = TASKS


@dataclass(frozen=True)
class Series:
    """A figure: arms along a number. ``x``: what it is. ``lines``: by name, (number, arm) in order of the number."""

    title: str
    x: str
    lines: Mapping[str, tuple[tuple[float, str], ...]]


@dataclass(frozen=True)
class Job:
    """One training. ``cost``: units times cycles, for the estimate of the time that is left."""

    arm: str
    seed: int
    unit: str
    keys: Mapping[str, Any]
    cost: int

    @property
    def folder(self) -> str:
        return "/".join(filter(None, (self.arm, f"seed{self.seed}", self.unit.replace("/", "_"))))


@dataclass(frozen=True)
class Plan:
    """``base``: configuration file. ``common``: keys of all arms. ``left_out``: rivals that are not run, and why."""

    title: str
    base: str
    common: Mapping[str, Any]
    seeds: int
    arms: tuple[Arm, ...]
    claims: tuple[Claim, ...]
    left_out: tuple[str, ...] = ()
    series: Series | None = None

    @classmethod
    def load(cls, path: str | Path) -> Plan:
        """Reads and checks a plan; a configuration that comes with the package may be named without its folder.

        Raises:
            DataError: something is missing, unknown or of another kind; the message names file and key.
        """
        known = ("title", "base", "common", "seeds", "arms", "claims", "left_out", "series")
        required = ("title", "base", "seeds", "arms", "claims")
        section = read_section(Path(find_config_file(str(path))), "ablation", known, required)
        arms = section.child("arms", None)
        made = tuple(_arm(arms.child(name, ("about", "keys", "single"), ("about",)), name) for name in arms.values)
        claims = section.values["claims"]
        if not isinstance(claims, list):
            raise section.error("claims", "a list is needed")
        entries = [
            Section(value, section.file, (*section.keys, f"claims[{i}]"), _CLAIM, _CLAIM[:3])
            for i, value in enumerate(claims)
        ]
        plan = cls(
            title=section.text("title"),
            base=find_config_file(section.text("base")),
            common=_keys(section, "common"),
            seeds=_positive(section, "seeds"),
            arms=made,
            claims=tuple(_claim(entry, [arm.name for arm in made]) for entry in entries),
            left_out=section.names("left_out") or (),
            series=_series(section, [arm.name for arm in made]),
        )
        for arm in plan.arms:
            plan.config(arm.keys, 0)
        return plan

    def config(self, keys: Mapping[str, Any], seed: int) -> Config:
        """The configuration of an arm; ValueError for an unknown key."""
        cfg = get_fx_cfg()
        cfg.merge_from_file(self.base)
        cfg.merge_from_list([item for pair in self.values(keys, seed).items() for item in pair])
        return cfg

    def values(self, keys: Mapping[str, Any], seed: int) -> dict[str, Any]:
        """Keys of one run: ``{seed}`` in a text becomes its number, so that a run can start from another's weights."""
        merged = {**self.common, **keys, "SEED": seed}
        return {key: v.replace("{seed}", str(seed)) if isinstance(v, str) else v for key, v in merged.items()}

    def jobs(self, seeds: int = 0, only: tuple[str, ...] = ()) -> list[Job]:
        """All trainings, seed by seed, so that a table that was cut short has whole seeds.

        Raises:
            DataError: ``only`` names an arm that the plan does not have.
        """
        names = [arm.name for arm in self.arms]
        for name in only:
            if name not in names:
                raise DataError(f"there is no arm {name!r}; {nearest(name, names, 'arms')}")
        jobs = []
        for seed in range(seeds or self.seeds):
            for arm in (arm for arm in self.arms if not only or arm.name in only):
                cfg, values = self.config(arm.keys, seed), self.values(arm.keys, seed)
                units = cfg.FX.CYCLE.UNITS
                for unit in units if arm.single else [""]:
                    own = {"FX.CYCLE.UNITS": [unit], "FX.EVAL.AFTER_UNITS": 0} if arm.single else {}
                    jobs.append(
                        Job(arm.name, seed, unit, values | own, (1 if unit else len(units)) * cfg.FX.CYCLE.COUNT)
                    )
        return jobs


_CLAIM = ("text", "first", "second", "at_least", "margin", "tasks")
_SERIES = ("title", "x", "lines")


def _keys(section: Section, key: str) -> dict[str, Any]:
    if key not in section:
        return {}
    return flatten(section.child(key, None).values)


def _positive(section: Section, key: str) -> int:
    value = section.values[key]
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise section.error(key, f"a whole number above 0 is needed, not {value!r}")
    return value


def _arm(section: Section, name: str) -> Arm:
    if not name.replace("_", "").replace("-", "").isalnum():
        raise DataError(f"{section.place}: an arm is a folder: letters, digits, _ and - only")
    return Arm(name, section.text("about"), _keys(section, "keys"), section.flag("single"))


def _claim(section: Section, arms: list[str]) -> Claim:
    sides = []
    for key in ("first", "second"):
        arm, _, measure = section.text(key).partition(".")
        if arm not in arms:
            raise section.error(key, f"there is no arm {arm!r}; {nearest(arm, arms, 'arms')}")
        if measure not in MEASURES:
            raise section.error(key, f"there is no measure {measure!r}; {nearest(measure, MEASURES, 'measures')}")
        sides.append((arm, measure))
    numbers = {}
    for key in ("at_least", "margin"):
        if key in section:
            value = section.values[key]
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise section.error(key, f"a number is needed, not {value!r}")
            numbers[key] = float(value)
    tasks = section.names("tasks") or TASKS
    for task in tasks:
        if task not in TASKS:
            raise section.error("tasks", f"there is no task {task!r}; {nearest(task, TASKS, 'tasks')}")
    return Claim(section.text("text"), sides[0], sides[1], **numbers, tasks=tasks)


def _series(section: Section, arms: list[str]) -> Series | None:
    if "series" not in section:
        return None
    own = section.child("series", _SERIES, _SERIES)
    lines = own.child("lines", None)
    return Series(own.text("title"), own.text("x"), {name: _line(lines, name, arms) for name in lines.values})


def _line(lines: Section, name: str, arms: list[str]) -> tuple[tuple[float, str], ...]:
    points = lines.values[name]
    if not isinstance(points, dict) or len(points) < 2:
        raise lines.error(name, f"two points at least are needed, such as {{5: arm, 10: arm}}, not {points!r}")
    for x, arm in points.items():
        if isinstance(x, bool) or not isinstance(x, int | float) or not math.isfinite(x):
            raise lines.error(name, f"a point is `number: arm`, and {x!r} is no number")
        if arm not in arms:
            raise lines.error(name, f"{x}: there is no arm {arm!r}; {nearest(arm, arms, 'arms')}")
    return tuple(sorted(points.items()))

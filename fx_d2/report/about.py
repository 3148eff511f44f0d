"""What was run, on what data, with what: the words and lists of the report that are not scores."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from detectron2.config import CfgNode

from ..config import get_fx_cfg
from ..config.node import flatten
from ..data.builtin import DATASETS
from ..schedule import Unit
from .run import Run

_SHOWN = 60


def facts(run: Run) -> list[tuple[str, str]]:
    """Key facts, in the order in which one asks for them."""
    cfg, sessions = run.cfg, run.record["sessions"]
    rows: list[tuple[str, str]] = [("folder", run.folder.resolve().name)]
    if run.passes:
        total = run.cycle_length * run.cycles
        rows += [
            ("cycles", f"{run.done // run.cycle_length} of {run.cycles}"),
            ("iterations", f"{run.done:,} of {total:,}"),
            ("batch", f"{run.record['schedule']['batch']} images"),
            ("images seen", f"{images_seen(run):,}"),
            ("learning rate", f"{cfg.SOLVER.BASE_LR:g}, backbone × {cfg.SOLVER.BACKBONE_MULTIPLIER:g}"),
            ("teacher", f"momentum {cfg.FX.TEACHER.MOMENTUM:g}, after every {cfg.FX.TEACHER.UPDATE}"),
            ("consistency weight", f"{cfg.FX.CONSISTENCY_WEIGHT:g}"),
        ]
    gate = cfg.MODEL.MASK.GATE
    if gate.WHEN != "off" and any(unit.endswith("/mask") for unit in run.units):
        when = {"train": "in training only", "always": "in training and after it"}[gate.WHEN]
        rows.append(("region gate", f"the network's boxes gate the masks, {when}; strength {gate.STRENGTH:g}"))
    rows += [
        ("image size", f"{cfg.INPUT.SIZE} × {cfg.INPUT.SIZE}{', letterbox' if cfg.INPUT.LETTERBOX else ''}"),
        ("weights", cfg.MODEL.WEIGHTS or "random"),
        ("seed", str(cfg.SEED)),
    ]
    if sessions:
        last = sessions[-1]
        rows += [("device", f"{last['device']}" + (f" × {last['processes']}" if last["processes"] > 1 else ""))]
        rows += [("mixed precision", cfg.SOLVER.AMP.DTYPE if cfg.SOLVER.AMP.ENABLED else "off")]
        rows += [("begun", sessions[0]["began"].replace("T", " ")[:16] + " UTC"), ("time", working_time(sessions))]
        if len(sessions) > 1:
            rows.append(("sessions", f"{len(sessions)}, a resumed or repeated run"))
    return rows


def images_seen(run: Run) -> int:
    whole, rest = divmod(run.done, run.cycle_length)
    images = whole * sum(entry["images"] for entry in run.record["schedule"]["passes"])
    for scheduled in run.passes:
        steps = min(max(rest - scheduled.start, 0), scheduled.steps)
        images += scheduled.images * steps // scheduled.steps
    return images


def working_time(sessions: list[Mapping[str, Any]]) -> str:
    """Of the sessions that came to their end, summed up."""
    ended = [session for session in sessions if session["ended"]]
    total = sum(
        (datetime.datetime.fromisoformat(s["ended"]) - datetime.datetime.fromisoformat(s["began"]) for s in ended),
        datetime.timedelta(),
    )
    missing = len(sessions) - len(ended)
    return str(total) + (f" (and {missing} without an end)" if missing else "")


def versions(run: Run) -> list[tuple[str, str]]:
    return list(run.record["sessions"][-1]["versions"].items()) if run.record["sessions"] else []


def changed_keys(cfg: CfgNode) -> list[tuple[str, str, str]]:
    """(key, value, default) of every key that differs."""
    defaults = flatten(get_fx_cfg())
    rows = []
    for key, value in flatten(cfg).items():
        if _plain(value) != _plain(defaults.get(key)):
            rows.append((key, _brief(value), _brief(defaults.get(key))))
    return rows


def _plain(value: Any) -> Any:
    """YAML turns tuples into lists."""
    return [_plain(part) for part in value] if isinstance(value, tuple | list) else value


def _brief(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 4 * _SHOWN else text[: 4 * _SHOWN] + " …"


def data_section(run: Run) -> dict[str, Any]:
    """Images of every unit by split, what ``fx-d2 check-data`` found, and the overlaps that are known."""
    images = run.record["images"]
    splits = list(dict.fromkeys(split for counts in images.values() for split in counts))
    splits.sort(key=lambda name: ({"train": 0, "val": 1, "test": 2}.get(name, 3), name))
    rows = [
        {
            "unit": unit,
            "counts": [images.get(unit, {}).get(split) for split in splits],
            "classes": ", ".join(run.classes(unit)),
        }
        for unit in run.units
    ]
    words = "Images of each unit. An image may be in several units of its dataset."
    if not images:
        words = "The numbers of images were not recorded (a folder of an earlier version)."
    datasets = list(dict.fromkeys(Unit.parse(unit).dataset for unit in run.units))
    return {
        "splits": splits,
        "rows": rows,
        "words": words,
        "checked": data_check(run.check) if run.check is not None else None,
        "overlaps": known_overlaps(datasets),
    }


def known_overlaps(datasets: Sequence[str]) -> list[str]:
    """One line for each pair of the datasets that is known to share images, by the table of published datasets."""
    lines: dict[frozenset[str], str] = {}
    for entry in DATASETS:
        for overlap in entry.overlaps:
            pair = frozenset((entry.name, overlap.dataset))
            if pair <= set(datasets) and pair not in lines:
                how = "no published map" if overlap.known_by == "pixels" else f"recognised by {overlap.known_by}"
                lines[pair] = f"{entry.name} and {overlap.dataset}: {overlap.note or 'the same images'} ({how})."
    return list(lines.values())


def data_check(check: Mapping[str, Any]) -> dict[str, Any]:
    """The summary of a data check's JSON: problems first, then what splits share."""
    rows = [
        {
            "level": "problem",
            "what": str(one.get("message", one)),
            "where": " ".join(filter(None, map(str, _place(one)))),
        }
        for one in check.get("problems", ())
    ]
    leaks = 0
    for one in check.get("overlaps", ()):
        first, second = (f"{one[key]['dataset']} {one[key]['split']}" for key in ("first", "second"))
        leaks += bool(one["leak"])
        what = f"{one['count']} {'patients' if one['by'] == 'patient' else 'images'} in both, by {one['by']}"
        rows.append({"level": "leak" if one["leak"] else "note", "what": what, "where": f"{first} – {second}"})
    problems = len(rows) - len(check.get("overlaps", ()))
    words = f"Problems: {problems}. Leaks between splits: {leaks}."
    if left := check.get("not_checked"):
        words += " Not checked: " + "; ".join(map(str, left)) + "."
    return {"words": words, "rows": rows[:_SHOWN]}


def _place(problem: Any) -> list[Any]:
    if not isinstance(problem, Mapping):
        return []
    return [problem.get(key) for key in ("dataset", "task", "split", "file", "row")]

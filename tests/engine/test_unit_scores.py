"""When all units are scored between units, and what is written."""

import json
from types import SimpleNamespace

import pytest

from fx_d2.engine.hooks import UnitScores
from fx_d2.engine.hooks.unit_scores import FILE
from fx_d2.schedule import CycleSchedule, Pass, Unit

UNITS = [Unit("one", "cls"), Unit("one", "box")]
PASSES = {"cls": (Pass(),), "box": (Pass(train="head", fraction=0.5), Pass())}
SCORES = {"student": {"one": {"cls": {"AUROC": 0.5, "AP": 0.1}, "box": {"AP50": None, "AP": None}}}}


def run(tmp_path, every, start=0):
    """The rows of a run of three cycles of 2 + (1 + 2) steps."""
    schedule = CycleSchedule(UNITS, PASSES, dict.fromkeys(UNITS, 4), 2, 3)
    trainer = SimpleNamespace(schedule=schedule, start_iter=start, iter=start)
    calls = []
    hook = UnitScores(every, lambda: calls.append(trainer.iter) or SCORES, tmp_path)
    hook.trainer = trainer
    hook.before_train()
    for trainer.iter in range(start, len(schedule)):
        hook.after_step()
    path = tmp_path / FILE
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    assert len(calls) == len(rows)
    return rows


def brief(rows):
    return [(row["cycle"], row["after"], row["begun"], row["iteration"]) for row in rows]


def test_every_second_cycle_is_scored_before_and_after_each_unit(tmp_path):
    rows = run(tmp_path, 2)
    assert brief(rows) == [(2, None, 5, 5), (2, "one/cls", 5, 7), (2, "one/box", 7, 10)]
    assert rows[0]["scores"] == {"student": {"one/cls": 0.5, "one/box": None}}


def test_in_every_cycle_the_end_of_one_is_the_beginning_of_the_next(tmp_path):
    rows = run(tmp_path, 1)
    assert brief(rows)[:4] == [(1, None, 0, 0), (1, "one/cls", 0, 2), (1, "one/box", 2, 5), (2, "one/cls", 5, 7)]
    assert len(rows) == 7


@pytest.mark.parametrize(("start", "expected"), [(5, [(2, None, 5, 5)]), (6, [(2, "one/cls", 5, 7)])])
def test_a_resumed_run_goes_on(tmp_path, start, expected):
    assert brief(run(tmp_path, 2, start))[:1] == expected


def test_off(tmp_path):
    assert run(tmp_path, 0) == []

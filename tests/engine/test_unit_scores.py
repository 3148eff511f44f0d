"""When all units are scored between units, and what is written."""

import json
from types import SimpleNamespace

import pytest
import torch

from fx_d2.data.loader import spread
from fx_d2.engine.build import build_trainer, prepare
from fx_d2.engine.final_evaluation import evaluate_and_report
from fx_d2.engine.hooks import UnitScores
from fx_d2.report.run import UNIT_SCORES
from fx_d2.schedule import CycleSchedule, Pass, Unit
from tests.tiny import tiny_config

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
    if start:  # what the trainer does first on resume
        trainer.iter = start - 1
        hook.after_step()
    for trainer.iter in range(start, len(schedule)):
        hook.after_step()
    path = tmp_path / UNIT_SCORES
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


def test_spread_takes_evenly():
    assert spread(list(range(10)), 3) == [0, 3, 6]
    assert spread(list(range(3)), 5) == spread(list(range(3)), 0) == [0, 1, 2]


@pytest.mark.usefixtures("fresh_catalog")
def test_scores_between_units_do_not_change_the_training(cohort, tmp_path):
    weights, scored = [], []
    for every in (0, 1):
        folder = tmp_path / str(every)
        units = ["phantom_screen/cls", "phantom_heart/mask"]
        keys = {"FX.EVAL.AFTER_UNITS": every, "FX.EVAL.AFTER_UNITS_IMAGES": 2, "FX.EVAL.CYCLES": 0}
        cfg = tiny_config(cohort, folder, **{"FX.CYCLE.UNITS": units, **keys})
        folder.mkdir()
        prepare(cfg)
        torch.manual_seed(0)
        trainer = build_trainer(cfg, resume=False)
        trainer.train(0, trainer.max_iter)
        weights.append(trainer.student.state_dict())
        scored.append((folder / UNIT_SCORES).exists())
    assert scored == [False, True]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    rows = [json.loads(line) for line in (tmp_path / "1" / UNIT_SCORES).read_text().splitlines()]
    assert [row["after"] for row in rows] == [None, *units, *units]
    record = json.loads((tmp_path / "1" / "run.json").read_text())
    assert record["sessions"][0]["stop"] == trainer.max_iter and record["sessions"][0]["ended"]
    assert record["images"]["phantom_screen/cls"] == {"train": 12}
    cfg.FX.EVAL.SPLIT = ""  # nothing is scored at the end, the report comes all the same
    assert evaluate_and_report(cfg, trainer.student, trainer.teacher, trainer.precision, trainer.max_iter) == {}
    assert "no final evaluation in this folder yet" in (folder / "report.html").read_text()

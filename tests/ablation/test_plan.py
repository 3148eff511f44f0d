"""The plan file: what it means and what is refused; the packaged plans."""

from pathlib import Path

import pytest

from fx_d2.ablation.plan import Plan
from fx_d2.data.errors import DataError

TEXT = """
ablation:
  title: A
  base: phantom.yaml
  seeds: 2
  common: {FX.CYCLE.COUNT: 3}
  arms:
    single: {about: one by one, single: true}
    joint: {about: together, keys: {SOLVER: {BASE_LR: 0.5}, MODEL.WEIGHTS: "w/seed{seed}.pth"}}
  claims:
    - {text: it helps, first: joint.teacher, second: single.teacher, at_least: -0.1}
"""


def write(tmp_path, old="", new=""):
    assert old in TEXT
    path = tmp_path / "plan.yaml"
    path.write_text(TEXT.replace(old, new) if old else TEXT)
    return path


def test_jobs_are_seeds_times_arms_and_units_of_single_task_arms(tmp_path):
    plan = Plan.load(write(tmp_path))
    jobs = plan.jobs()
    assert len(jobs) == 2 * (9 + 1) and [job.seed for job in jobs] == [0] * 10 + [1] * 10  # whole seeds first
    joint = jobs[-1]
    assert joint.folder == "joint/seed1" and joint.cost == 27
    assert joint.keys == {"FX.CYCLE.COUNT": 3, "SOLVER.BASE_LR": 0.5, "MODEL.WEIGHTS": "w/seed1.pth", "SEED": 1}
    assert jobs[2].folder == "single/seed0/phantom_ward_box" and jobs[2].cost == 3
    assert jobs[2].keys["FX.CYCLE.UNITS"] == ["phantom_ward/box"] and jobs[2].keys["FX.EVAL.AFTER_UNITS"] == 0
    assert [job.folder for job in plan.jobs(seeds=1, only=("joint",))] == ["joint/seed0"]
    assert plan.claims[0].at_least == -0.1 and plan.claims[0].first == ("joint", "teacher")
    assert plan.claims[0].tasks == ("cls", "box", "mask")
    assert Plan.load(write(tmp_path, "at_least: -0.1", "tasks: [mask]")).claims[0].tasks == ("mask",)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seeds: 2", "seeds: 0", "seeds: a whole number above 0"),
        ("seeds: 2", "seed: 2", "unknown key 'seed'"),
        ("first: joint.teacher", "first: jont.teacher", "there is no arm 'jont'; did you mean 'joint'"),
        ("first: joint.teacher", "first: joint.score", "there is no measure 'score'"),
        ("at_least: -0.1", "at_least: low", "at_least: a number is needed"),
        ("at_least: -0.1", "tasks: [boxes]", "there is no task 'boxes'; did you mean 'box'"),
        ("{FX.CYCLE.COUNT: 3}", "{FX.CYCLE.CUONT: 3}", "FX.CYCLE.CUONT"),
        ("    single: {about", "    si/ngle: {about", "an arm is a folder"),
    ],
)
def test_mistakes_are_named(tmp_path, old, new, message):
    with pytest.raises(ValueError, match=message):
        Plan.load(write(tmp_path, old, new))


def test_an_unknown_arm_is_refused(tmp_path):
    with pytest.raises(DataError, match="no arm 'jiont'"):
        Plan.load(write(tmp_path)).jobs(only=("jiont",))


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[2] / "configs" / "ablation").glob("*.yaml")))
def test_packaged_plans_load(path):
    plan = Plan.load(path)
    assert plan.claims and plan.jobs(seeds=1)

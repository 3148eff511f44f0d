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


SERIES = """
  series:
    title: Few images
    x: training images
    lines:
      ours: {10: joint, 2.5: single}
"""


def test_points_of_a_figure_are_in_order_of_their_number(tmp_path):
    (tmp_path / "plan.yaml").write_text(TEXT + SERIES)
    series = Plan.load(tmp_path / "plan.yaml").series
    assert (series.title, series.x) == ("Few images", "training images")
    assert series.lines == {"ours": ((2.5, "single"), (10, "joint"))}
    assert Plan.load(write(tmp_path)).series is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("10: joint", "10: jont", r"series\.lines\.ours: 10: there is no arm 'jont'; did you mean 'joint'"),
        ("10: joint", "10: [joint]", r"series\.lines\.ours: 10: there is no arm \['joint'\]"),
        ("10: joint", "ten: joint", r"series\.lines\.ours: .*'ten' is no number"),
        ("10: joint", ".inf: joint", r"series\.lines\.ours: .*inf is no number"),
        ("10: joint", "yes: joint", r"series\.lines\.ours: .*True is no number"),
        ("10: joint, ", "", r"series\.lines\.ours: two points at least"),
        ("{10: joint, 2.5: single}", "[joint, single]", r"series\.lines\.ours: two points at least"),
        ("    x: training images\n", "", "series: key 'x' is missing"),
        ("    x:", "    y: 1\n    x:", "series: unknown key 'y'"),
        ("Few images", "[]", r"series\.title: text is needed"),
    ],
)
def test_mistakes_of_a_figure_are_named(tmp_path, old, new, message):
    assert old in SERIES
    (tmp_path / "plan.yaml").write_text(TEXT + SERIES.replace(old, new))
    with pytest.raises(DataError, match=message):
        Plan.load(tmp_path / "plan.yaml")


def test_an_unknown_arm_is_refused(tmp_path):
    with pytest.raises(DataError, match="no arm 'jiont'"):
        Plan.load(write(tmp_path)).jobs(only=("jiont",))


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[2] / "configs" / "ablation").glob("*.yaml")))
def test_packaged_plans_load(path):
    plan = Plan.load(path)
    assert plan.claims and plan.jobs(seeds=1)

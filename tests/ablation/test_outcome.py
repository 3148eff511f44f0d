"""Claims, page and files from written runs; differences by hand."""

import json

import pytest

from fx_d2.ablation.collect import collect
from fx_d2.ablation.outcome import judge
from fx_d2.ablation.page import write_outcome
from fx_d2.ablation.plan import Plan
from fx_d2.ablation.runs import DONE
from fx_d2.ablation.statistics import HOLDS

UNITS = ["phantom_ward/cls", "phantom_heart/box"]
PLAN = f"""
ablation:
  title: Two & arms
  base: phantom.yaml
  seeds: 3
  common: {{FX.CYCLE.UNITS: {UNITS}, FX.CYCLE.COUNT: 2}}
  arms:
    single: {{about: one by one, single: true}}
    joint: {{about: together}}
  claims:
    - {{text: Joint <training> helps, first: joint.teacher, second: single.teacher}}
    - {{text: The teacher leads, first: joint.teacher_mid, second: joint.student_mid, tasks: [box]}}
    - {{text: Nothing is forgotten, first: joint.kept, second: single.kept}}
  left_out: [Others]
"""


def score(unit, value):
    dataset, task = unit.split("/")
    return {dataset: {task: {"AUROC": value, "AP50": value, "AP40": value + 0.01}}}


def write_run(folder, units, value, keys):
    folder.mkdir(parents=True)
    results = {
        model: {k: v for unit in units for k, v in score(unit, value + shift).items()}
        for model, shift in (("student", -0.01), ("teacher", 0.0))
    }
    (folder / "results.json").write_text(json.dumps(results))
    passes = [{"unit": unit, "locked": False, "images": 8, "steps": 2} for unit in units]
    session = {"began": "2026-01-01T00:00:00+00:00", "ended": "2026-01-01T00:01:30+00:00"}
    record = {
        "schedule": {"cycles": 2, "batch": 4, "passes": passes},
        "sessions": [session, {**session, "ended": None}],
    }
    (folder / "run.json").write_text(json.dumps(record))
    total = 4 * len(units)
    lines = []
    for done, share in ((total // 2, 0.5), (total, 1.0)):
        row = {"iteration": done - 1}
        for unit in units:
            metric = "AUROC" if unit.endswith("cls") else "AP50"
            row |= {f"val/teacher/{unit}/{metric}": value * share, f"val/student/{unit}/{metric}": value * share - 0.03}
        lines.append(json.dumps(row))
    (folder / "metrics.json").write_text("\n".join(lines) + "\n")
    if len(units) == 2:  # the second unit costs the first .04, the first gives the second .01
        a, b = units
        rows = [
            {"cycle": 1, "after": None, "begun": 0, "iteration": 0, "scores": {"student": {a: 0.5, b: 0.5}}},
            {"cycle": 1, "after": a, "begun": 0, "iteration": 2, "scores": {"student": {a: 0.6, b: 0.51}}},
            {"cycle": 1, "after": b, "begun": 2, "iteration": 4, "scores": {"student": {a: 0.56, b: 0.7}}},
        ]
        (folder / "unit_scores.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / DONE).write_text(json.dumps({"run": {"base": "phantom.yaml", "keys": keys}}))


@pytest.fixture
def runs(tmp_path):
    (tmp_path / "plan.yaml").write_text(PLAN)
    plan = Plan.load(tmp_path / "plan.yaml")
    jobs = plan.jobs()
    for job in jobs:
        gain = {"joint": 0.05 + 0.001 * job.seed, "single": 0.0}[job.arm]
        if (job.arm, job.seed, job.unit) != ("single", 2, UNITS[1]):  # one run is not finished
            units = [job.unit] if job.unit else UNITS
            write_run(tmp_path / "out" / job.folder, units, 0.6 + 0.1 * job.seed + gain, dict(job.keys))
    return plan, jobs, tmp_path / "out"


def test_claims_are_differences_paired_by_seed(runs):
    plan, jobs, folder = runs
    found = collect(plan, jobs, folder)
    rows = {(row.claim.text, row.task): row for row in judge(plan, found)}
    row = rows["Joint <training> helps", "cls"]
    assert row.seeds == (0, 1) and row.difference.values == pytest.approx((0.05, 0.051))  # seed 2 is not complete
    row = rows["The teacher leads", "box"]
    assert row.difference.values == pytest.approx((0.03, 0.03, 0.03)) and row.verdict == HOLDS
    assert ("The teacher leads", "cls") not in rows  # its claim is about boxes
    assert ("Nothing is forgotten", "cls") not in rows  # single-task runs have no other units
    joint = next(t for t in found if (t.arm, t.seed) == ("joint", 0))
    assert joint.kept == pytest.approx({UNITS[0]: -0.04, UNITS[1]: 0.01})
    assert (joint.seconds, joint.iterations, joint.images) == (90.0, 8, 32)
    single = next(t for t in found if (t.arm, t.seed) == ("single", 0))
    assert (single.iterations, single.images, single.missing) == (8, 32, 0)


def test_page_json_and_markdown(runs):
    plan, jobs, folder = runs
    path = write_outcome(plan, jobs, folder, bootstraps=0)
    page = path.read_text()
    assert "Joint &lt;training&gt; helps" in page and "Two &amp; arms" in page
    assert page.index('id="claims"') < page.index('id="forest"') < page.index('id="scores"')
    assert "http" not in page.replace("http://www.w3.org", "") and "1 of 9 runs are not finished" in page
    record = json.loads((folder / "ablation.json").read_text())
    assert record["format"] == "fx_d2 ablation" and len(record["runs"]) == 6
    text = (folder / "ablation.md").read_text()
    assert "| The teacher leads | boxes | holds | +0.030 (+0.030 to +0.030) | 0.000 | 3 |" in text


def test_nothing_is_finished(tmp_path):
    (tmp_path / "plan.yaml").write_text(PLAN)
    plan = Plan.load(tmp_path / "plan.yaml")
    assert "Not measured yet" in write_outcome(plan, plan.jobs(), tmp_path / "out").read_text()

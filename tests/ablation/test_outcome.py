"""Claims, page and files from written runs; differences and places by hand."""

import json
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from fx_d2.ablation.collect import collect
from fx_d2.ablation.outcome import judge
from fx_d2.ablation.page import write_outcome
from fx_d2.ablation.plan import Plan, Series
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


def test_a_figure_is_on_the_page_and_a_file_of_its_own(runs):
    plan, jobs, folder = runs
    series = Series(
        "Few <images>", "number", {"a & b": ((1, "single"), (4, "joint")), "flat": ((1, "joint"), (4, "joint"))}
    )
    path = write_outcome(replace(plan, series=series), jobs, folder, bootstraps=0)
    assert 'id="series"' in path.read_text() and "Few &lt;images&gt;" in path.read_text()
    first, last = json.loads((folder / "ablation.json").read_text())["series"]["cls"]["a & b"]
    # single: .6 and .7, its third seed is not complete; joint: .65, .751, .852, standard deviation .101. Student's t
    # for 95 % is 12.7062 with one degree of freedom, 4.30265 with two.
    assert (first["x"], first["arm"], first["seeds"], last["seeds"]) == (1, "single", 2, 3)
    assert (first["mean"], first["low"]) == pytest.approx((0.65, 0.65 - 12.7062 * 0.05), abs=1e-5)
    assert (last["mean"], last["high"]) == pytest.approx((0.751, 0.751 + 4.30265 * 0.101 / 3**0.5), abs=1e-5)
    root = ElementTree.fromstring((folder / "series_box.svg").read_text())
    svg = "{http://www.w3.org/2000/svg}"
    texts = [element.text for element in root.iter(f"{svg}text")]
    assert {"Few <images>: boxes", "number", "AP50, mean and 95 % interval", "1", "4", "a & b", "flat"} <= set(texts)
    assert "var(" not in root.find(f"{svg}style").text  # colours that any viewer knows
    lines = [e for e in root.iter(f"{svg}g") if e.get("class", "").startswith("series")]
    assert [e.get("class") for e in lines] == ["series hue0", "series hue1"] * 2  # two lines, then the legend
    ours, flat = ([float(v) for v in re.findall(r"[\d.]+", e.find(f"{svg}path").get("d"))] for e in lines[:2])
    # 284 units from -0.4 to 1.4, the series 0.045 before and after each number.
    assert ours[0] == pytest.approx(44 + 284 * (0.4 - 0.045) / 1.8, abs=0.06)
    assert flat[2] == pytest.approx(44 + 284 * (1.4 + 0.045) / 1.8, abs=0.06)
    assert flat[1] == flat[3] == ours[3] < ours[1]


def test_a_figure_waits_for_arms_without_runs(runs):
    plan, jobs, folder = runs
    series = Series("Few", "number", {"later": ((1, "single"), (4, "single"))})
    for job in jobs:
        if job.arm == "single":
            (folder / job.folder / DONE).unlink(missing_ok=True)
    write_outcome(replace(plan, series=series), jobs, folder, bootstraps=0)
    assert json.loads((folder / "ablation.json").read_text())["series"]["cls"] == {"later": []}
    assert "later" in (folder / "series_cls.svg").read_text()


BOXES = "[...document.querySelectorAll('.scroll')].map(box => [box.clientWidth, box.scrollWidth])"
# The place of the first column beside that of its table's box, after a move to the right.
FIRST = """[...document.querySelectorAll('.scroll')].map(box => {
  box.scrollLeft = 80;
  return box.querySelector('tbody th').getBoundingClientRect().left - box.getBoundingClientRect().left;
})"""


def test_tables_of_many_arms_fit_a_desk_and_keep_their_first_column_on_a_phone(tmp_path, browser):
    words = "weights that were trained on something else, with words that are too long for one line of a table"
    arms = "".join(f"    synthetic_{i}0: {{about: '{words}'}}\n" for i in range(12))
    claim = "    - {text: it helps, first: synthetic_10.teacher, second: synthetic_00.teacher}\n"
    head = PLAN[: PLAN.index("    single:")]
    (tmp_path / "plan.yaml").write_text(f"{head}{arms}  claims:\n{claim}")
    plan = Plan.load(tmp_path / "plan.yaml")
    for job in plan.jobs():
        write_run(tmp_path / job.folder, UNITS, 0.5 + 0.01 * job.seed, dict(job.keys))
    path = write_outcome(plan, plan.jobs(), tmp_path, bootstraps=0)
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.goto(path.as_uri())
    boxes = page.evaluate(BOXES)
    assert len(boxes) == 6 and all(content <= width for width, content in boxes)  # units: nine arms, and three
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert max(content - width for width, content in page.evaluate(BOXES)) > 80  # some do not fit
    assert page.evaluate(FIRST) == [0] * 6
    assert page.locator("#curves .swatch").count() == 2 * 12
    page.close()

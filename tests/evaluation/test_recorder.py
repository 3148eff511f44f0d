"""The files for reading: Markdown and CSV."""

import csv

import pytest

from fx_d2.evaluation.estimates import Estimate, UnitScore
from fx_d2.evaluation.recorder import Recorder
from fx_d2.evaluation.tables import Options
from fx_d2.files import original_cell, safe_cell


def recorder():
    findings = {
        "AUROC": Estimate(0.9, 0.8, 0.95, "bootstrap over patients"),
        "AUROC/a|b": Estimate(0.9, 0.8, 0.95, "bootstrap over patients", analytic={"DeLong": [0.81, 0.99]}),
        "AUROC/c": Estimate.of(None, "no image has the finding", 7),
    }
    masks = {"Dice": Estimate(0.5), "HD95": Estimate(12.34, 10.0, 15.02, "bootstrap over patients")}
    run = Recorder(Options(bootstraps=500), "test", None)
    run.scores = {
        "student": {"one/cls": UnitScore(("a|b", "c"), findings)},
        "teacher": {"one/cls": UnitScore(("a|b", "c"), findings)},
    }
    run.scores["teacher"]["one/mask"] = UnitScore((), masks)
    row = {"first": 0.9, "second": 0.8, "difference": 0.1, "low": -0.01, "high": 0.2, "p_value": 0.07}
    run.comparisons["one/cls"] = {"first": "teacher", "second": "student", "metrics": {"AUROC": row}}
    return run


def test_markdown(tmp_path):
    recorder().write(tmp_path)
    text = (tmp_path / "results.md").read_text()
    lines = [[cell.strip() for cell in line.replace("\\|", "BAR").strip("|").split("|")] for line in text.splitlines()]
    assert text.startswith("# Results on the test split\n") and "95 % intervals, 500 bootstraps over patients" in text
    assert ["one/cls", "student", "0.900 [0.800, 0.950]", "-", "-", "-", "-", "-"] in lines
    assert ["aBARb", "teacher", "0.900 [0.800, 0.950]", "-", "-", "-", "-", "-"] in lines
    assert ["c", "student", *["-"] * 6] in lines
    assert ["one/mask", "teacher", "0.500", "-", "-", "12.3 [10.0, 15.0]", "-"] in lines
    assert "## Boxes" not in text
    assert ["one/cls", "teacher - student", "AUROC", "0.100 [-0.010, 0.200]", "0.070"] in lines
    assert ["one/cls", "teacher - student", "F1", "-", "-"] in lines


def test_names_of_classes_are_text_wherever_they_stand(tmp_path):
    run = recorder()
    hostile = ("=HYPERLINK(1)", "<script>x</script>[y](http://z)")
    findings = run.scores["student"]["one/cls"].estimates
    run.scores["student"]["one/cls"] = UnitScore(
        hostile, {**findings, **{f"AUROC/{name}": Estimate(0.5) for name in hostile}}
    )
    run.write(tmp_path)
    with (tmp_path / "results.csv").open(newline="") as file:
        classes = {row["class"] for row in csv.DictReader(file)}
    assert {"'=HYPERLINK(1)", hostile[1]} <= classes and hostile[0] not in classes
    text = (tmp_path / "results.md").read_text()
    assert "<" not in text and "](" not in text and "&lt;script>x&lt;/script>[y]\\(http://z)" in text


@pytest.mark.parametrize(
    ("text", "safe"),
    [("=1+1", "'=1+1"), ("-a", "'-a"), ("+a", "'+a"), ("@a", "'@a"), ("\ta", "'\ta"), ("'=1", "''=1")],
)
def test_cells_that_a_spreadsheet_would_run(text, safe):
    assert safe_cell(text) == safe and original_cell(safe) == text
    for plain in ("a=1", "'tis", "", "0", "'"):
        assert safe_cell(plain) == plain == original_cell(plain)
    assert safe_cell(-1.5) == -1.5


def test_csv_holds_the_second_interval(tmp_path):
    recorder().write(tmp_path)
    with (tmp_path / "results.csv").open(newline="") as file:
        rows = {(row["model"], row["metric"], row["class"]): row for row in csv.DictReader(file)}
    row = rows["student", "AUROC", "a|b"]
    assert (row["second_method"], row["second_low"], row["second_high"]) == ("DeLong", "0.81", "0.99")
    assert rows["student", "AUROC", "c"]["reason"] == "no image has the finding"
    assert rows["student", "AUROC", "c"]["value"] == "" and rows["student", "AUROC", "c"]["count"] == "7"
    assert rows["teacher", "Dice", ""]["second_method"] == ""


def test_where_thresholds_come_from_without_validation():
    for threshold_split, reason in (
        ("val", "default: there are no predictions for a val split"),
        ("test", "default: no split but test, which is scored, could choose it"),
        (None, "default: no split but test, which is scored, could choose it"),
    ):
        recorder = Recorder(Options(), "test", threshold_split)
        assert recorder.thresholds_of("student", "one/cls", ("x",)) == {"x": {"threshold": 0.5, "source": reason}}


def test_only_an_earlier_evaluation_is_removed(tmp_path):
    folder = tmp_path / "predictions"
    folder.mkdir()
    (folder / "mine.txt").write_text("not an evaluation's")
    Recorder(Options(), "test", "val", folder).write(tmp_path)
    assert (folder / "mine.txt").exists() and (folder / "manifest.json").exists()
    (folder / "student").mkdir()
    Recorder(Options(), "test", "val", folder)
    assert not folder.exists()

"""The page and the model card of runs of many kinds, made from files alone."""

import json
import re
import shutil
from html.parser import HTMLParser

import pytest

from fx_d2.commands import report as make_report
from fx_d2.data.catalog import clear_datasets
from fx_d2.report.report import write_report
from tests.fake_run import make_run, many_datasets

pytestmark = pytest.mark.usefixtures("fresh_catalog")
VOID = {"meta", "link", "img", "input", "br", "hr"}


class Page(HTMLParser):
    """Tags in order; raises where they are not closed in order."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.words = [], [], []
        self.feed(html)
        self.close()
        assert not self.open, self.open
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]} at {self.getpos()}"
        self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def page_of(folder, cfg):
    """The checked page: whole, alone, accessible."""
    path = write_report(folder, cfg)
    html = path.read_text(encoding="utf-8")
    page = Page(html)
    assert path.stat().st_size < 8e6
    # Nothing is asked of a network: every reference is within the page or its data.
    references = [v for _, a in page.tags for k, v in a.items() if k in ("src", "href", "srcset", "action", "data")]
    assert references and all(value.startswith(("#", "data:")) for value in references)
    assert not re.search(r"url\((?!#)|@import|https?://(?!www\.w3\.org)", html)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids)) and {v[1:] for v in references if v.startswith("#")} <= set(ids)
    assert all(image["alt"] for image in page.all("img"))
    assert all(a.get("aria-label") or a.get("aria-hidden") for a in page.all("svg"))
    return page


def test_a_whole_run(cohort, tmp_path):
    cfg = make_run(cohort, tmp_path / "swin_run")
    page = page_of(tmp_path / "swin_run", cfg)
    results = json.loads((tmp_path / "swin_run" / "results.json").read_text())
    for model in ("teacher", "student"):
        for task, metric in (("box", "AP50"), ("mask", "Dice")):
            assert f"{results[model]['phantom_heart'][task][metric]:.3f}" in page.text
    assert "95 % intervals: bootstrap over patients." in page.text and "0.45–0.95" in page.text
    assert any(a.get("title") == "no image has the finding" for a in page.all("abbr"))
    # 3 units with three groups of 6 test images (a group may be empty): every image is shown once in a unit.
    assert len(page.all("img")) == 18
    labels = [a.get("aria-label", "") for a in page.all("svg")]
    kinds = ("One training cycle", "The run:", "ROC curves", "Calibration", "FROC curves", "Dice of phantom_heart/mask")
    for kind in kinds:
        assert any(label.startswith(kind) for label in labels), kind
    change = "Dice −0.013 (−0.040 to +0.015; p = 0.38, bootstrap over patients)."
    assert f"Teacher minus student: {change}" in page.text
    assert "moves by +6.0 points on average while it trains itself" in page.text
    assert "The data of this run was not checked" in page.text
    assert "config.yaml" not in page.text and "BASE_LR" in page.text


def test_a_run_says_what_it_lacks(cohort, tmp_path):
    folder = tmp_path / "run"
    cfg = make_run(
        cohort,
        folder,
        scored=False,
        validated=False,
        **{"FX.EVAL.AFTER_UNITS": 0, "FX.CYCLE.UNITS": ["phantom_heart/box"]},
    )
    page = page_of(folder, cfg)
    assert "There is no final evaluation in this folder yet" in page.text
    assert "No validation was scored during training" in page.text
    assert "set FX.EVAL.AFTER_UNITS" in page.text
    assert "1 unit of 1 dataset: boxes." in page.text
    assert "not been evaluated yet" in (folder / "MODEL_CARD.md").read_text()


def test_an_evaluation_of_a_student_without_boxes_or_curves(cohort, tmp_path):
    folder = tmp_path / "eval"
    cfg = make_run(cohort, folder, trained=False, boxes=False, teacher=False)
    details = json.loads((folder / "results_details.json").read_text())
    (folder / "results_details.json").write_text(json.dumps({**details, "units": {}, "metrics": {}}))
    page = page_of(folder, cfg)
    assert "Nothing was trained here: the weights (random) were scored." in page.text
    assert "Nothing was trained in this folder, so nothing can have been forgotten." in page.text
    assert "only the student was scored" in page.text and "No intervals were computed." in page.text
    assert "no box with score ≥ 0.3" in page.text
    assert not any(a.get("aria-label", "").startswith("ROC") for a in page.all("svg"))


def test_undefined_everywhere(cohort, tmp_path):
    folder = tmp_path / "run"
    cfg = make_run(cohort, folder)
    results = json.loads((folder / "results.json").read_text())
    for datasets in results.values():
        for tasks in datasets.values():
            for metrics in tasks.values():
                metrics.update(dict.fromkeys(metrics))
    (folder / "results.json").write_text(json.dumps(results))
    (folder / "results_details.json").unlink()
    shutil.rmtree(folder / "predictions")
    page = page_of(folder, cfg)
    assert "AUROC teacher –, student –" in page.text
    assert "the predictions were not kept" in page.text


def test_twenty_units_stay_small(cohort, tmp_path):
    path, units = many_datasets(cohort, 3)
    overrides = {"DATASETS.FILES": [str(path)], "FX.CYCLE.UNITS": units[:20], "FX.CYCLE.COUNT": 10}
    cfg = make_run(cohort, tmp_path / "run", **overrides)
    page = page_of(tmp_path / "run", cfg)
    assert len([a for a in page.all("details") if a.get("class", "").startswith("unit")]) == 20
    images = json.loads((tmp_path / "run" / "run.json").read_text())["images"]
    assert len(page.all("img")) == sum(counts["test"] for counts in images.values()) > 100


def test_the_tool_needs_no_network_and_no_datasets(cohort, tmp_path, capsys, monkeypatch):
    folder = tmp_path / "run"
    make_run(cohort, folder)
    monkeypatch.setattr("sys.argv", ["make_report", str(folder)])
    make_report.main()
    assert capsys.readouterr().out.strip() == str(folder / "report.html")
    first = (folder / "report.html").read_text()
    assert first.count("<img") == 18
    without = make_report.make_report(folder, ["FX.EVAL.REPORT_CASES", "0"]).read_text()
    assert "<img" not in without and "00001_0.png" not in without and "No pictures were asked for" in without
    clear_datasets()
    text = (folder / "config.yaml").read_text().replace(str(cohort), "/nowhere")
    (folder / "config.yaml").write_text(text)
    make_report.main()
    html = (folder / "report.html").read_text()
    assert "<img" not in html and html.count("the dataset is not at hand") == 3


def test_the_tool_names_what_is_wrong(tmp_path):
    with pytest.raises(ValueError, match="config.yaml is not there: name the output folder"):
        make_report.make_report(tmp_path)


@pytest.mark.parametrize("name", ["results.json", "run.json", "results_details.json"])
def test_a_damaged_file_is_named(cohort, tmp_path, name):
    cfg = make_run(cohort, tmp_path / "run")
    (tmp_path / "run" / name).write_text('{"format": ')
    with pytest.raises(ValueError, match=f"{name} "):
        write_report(tmp_path / "run", cfg)


def test_data_check_and_hostile_names(cohort, tmp_path):
    folder = tmp_path / "<b>run & co"
    cfg = make_run(cohort, folder)
    place = {
        "first": {"dataset": "phantom_heart", "split": "train"},
        "second": {"dataset": "phantom_heart", "split": "test"},
    }
    check = {
        "problems": [
            {"dataset": "phantom_heart", "task": "box", "split": "test", "file": "boxes.json", "message": "bad"}
        ],
        "overlaps": [{**place, "by": "patient", "leak": True, "count": 3, "pairs": []}],
        "not_checked": ["pixels"],
    }
    (folder / "check_data.json").write_text(json.dumps(check))
    page = page_of(folder, cfg)
    assert "Problems: 1. Leaks between splits: 1. Not checked: pixels." in page.text
    assert "3 patients in both, by patient leak phantom_heart train – phantom_heart test" in page.text
    assert "<b>run & co" in page.text and not page.all("script")[0].get("src")


def test_what_a_run_calls_its_things_is_text_in_the_model_card(cohort, tmp_path):
    folder = tmp_path / "<img src=x onerror=alert(1)> a|b [c](d)"
    write_report(folder, make_run(cohort, folder))
    card = (folder / "MODEL_CARD.md").read_text()
    assert card.startswith("# Model card: &lt;img src=x onerror=alert(1)> a\\|b [c]\\(d)\n")
    assert "<" not in card and "](" not in card


def test_an_edited_model_card_is_kept(cohort, tmp_path):
    folder = tmp_path / "run"
    cfg = make_run(cohort, folder)
    write_report(folder, cfg)
    card = folder / "MODEL_CARD.md"
    assert "Not a medical device" in card.read_text() and "| phantom_heart/box | AP50 |" in card.read_text()
    write_report(folder, cfg)  # untouched: written over
    assert not (folder / "MODEL_CARD.new.md").exists()
    card.write_text("mine")
    write_report(folder, cfg)
    assert card.read_text() == "mine" and "Not a medical device" in (folder / "MODEL_CARD.new.md").read_text()


def test_overlaps_of_published_datasets_are_named(cohort, tmp_path):
    """A cohort under the names of two sets that share images."""
    stored = (cohort / "phantoms" / "phantoms.yaml").read_text()
    path = cohort / "phantoms" / "published.yaml"
    path.write_text(
        re.sub(
            r"^  phantom_screen:",
            "  nih_cxr14:",
            re.sub(r"^  phantom_ward:", "  node21:", stored, flags=re.M),
            flags=re.M,
        )
    )
    units = {"DATASETS.FILES": [str(path)], "FX.CYCLE.UNITS": ["nih_cxr14/cls", "node21/cls"]}
    cfg = make_run(cohort, tmp_path / "run", **units)
    page = page_of(tmp_path / "run", cfg)
    assert "nih_cxr14 and node21: part of NODE21 (recognised by same_image)." in page.text
    assert "nih_cxr14 and node21" in (tmp_path / "run" / "MODEL_CARD.md").read_text()


def test_a_metric_without_any_value_is_a_line_not_a_column(cohort, tmp_path):
    folder = tmp_path / "run"
    cfg = make_run(cohort, folder, **{"FX.CYCLE.UNITS": ["phantom_heart/mask"]})
    results = json.loads((folder / "results.json").read_text())
    details = json.loads((folder / "results_details.json").read_text())
    for model in results:
        results[model]["phantom_heart"]["mask"].update({"HD95": 3.25, "HD95_mm": None, "HD95_mm/Heart": None})
        for key, reason in (("HD95_mm", "undefined for every class"), ("HD95_mm/Heart", "no known spacing")):
            details["metrics"][f"{model}/phantom_heart/mask/{key}"] = {"value": None, "reason": reason}
    (folder / "results.json").write_text(json.dumps(results))
    (folder / "results_details.json").write_text(json.dumps(details))
    page = page_of(folder, cfg)
    assert "Undefined: HD95_mm (no known spacing)." in page.text
    assert "class images with Dice Dice_all HD95 (px) all classes" in page.text and " 3.2 " in page.text

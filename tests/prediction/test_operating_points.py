"""Operating points: calls by hand, calls against the counts of the evaluation that chose them, what is refused."""

import json

import numpy as np
import pytest
import torch

import fx_d2
from fx_d2.data.errors import DataError
from fx_d2.evaluation.findings import score_findings
from fx_d2.evaluation.operating import choose_thresholds, default_thresholds
from fx_d2.evaluation.recorder import Recorder
from fx_d2.evaluation.tables import FindingTable, ImageRow, Options
from fx_d2.modeling.heads.contract import UnitClasses
from fx_d2.prediction.findings import Finding, FindingMap
from fx_d2.prediction.operating_points import OperatingPoint, OperatingPoints, call_findings, describe
from fx_d2.schedule import Unit

pytestmark = pytest.mark.usefixtures("fresh_catalog")

NIH, SIIM, WARD, BOX = Unit("nih_cxr14", "cls"), Unit("siim_acr", "cls"), Unit("ward", "cls"), Unit("ward", "box")
CLASSES = {
    NIH: UnitClasses(("Pneumothorax", "Hernia", "Mass")),
    SIIM: UnitClasses(("Pneumothorax",)),
    WARD: UnitClasses(("Normal", "Effusion", "Nodule"), exclusive=True),
    BOX: UnitClasses(("Nodule",)),
}
CHOSEN = "youden on the val split"
STORED = {
    "teacher": {
        "nih_cxr14": {
            "Pneumothorax": {"threshold": 0.125, "source": CHOSEN},
            "Mass": {"threshold": 0.5, "source": "default: no val image with the finding"},
        },
        "ward": {"Nodule": {"threshold": 0.01, "source": CHOSEN}},
    },
    "student": {"siim_acr": {"Pneumothorax": {"threshold": 1, "source": "mine"}}},
}


def write(tmp_path, stored, name="thresholds.json"):
    path = tmp_path / name
    path.write_text(stored if isinstance(stored, str) else json.dumps(stored))
    return path


def test_every_class_of_the_network_has_an_entry(tmp_path):
    points = OperatingPoints.load(write(tmp_path, STORED))
    teacher = points.of("teacher", CLASSES)
    assert list(teacher) == [NIH, SIIM, WARD]  # findings only: boxes have their own threshold
    assert list(teacher[NIH]) == ["Pneumothorax", "Hernia", "Mass"]
    assert teacher[NIH]["Pneumothorax"] == OperatingPoint(0.125, CHOSEN)
    absent = OperatingPoint(None, "the file has none")
    assert teacher[NIH]["Hernia"] == absent == teacher[SIIM]["Pneumothorax"]
    # The threshold that the file has for a class among others that exclude it is not used.
    assert {point.threshold for point in teacher[WARD].values()} == {None}
    assert points.of("student", CLASSES)[SIIM]["Pneumothorax"] == OperatingPoint(1.0, "mine")


def test_calls_by_hand():
    points = {"a": OperatingPoint(0.125, ""), "b": OperatingPoint(None, ""), "c": OperatingPoint(0.5, "")}
    classes = UnitClasses(("a", "b", "c"))
    assert call_findings(points, classes, [0.125, 0.99, 0.4999999]) == {"a": True, "b": None, "c": False}
    assert call_findings(points, classes, [0.1249999, 0.0, 0.5]) == {"a": False, "b": None, "c": True}
    # Exclusive: exactly one, also of equal scores; no threshold matters.
    exclusive = UnitClasses(("a", "b", "c"), exclusive=True)
    assert call_findings(points, exclusive, [0.3, 0.35, 0.35]) == {"a": False, "b": True, "c": False}


def test_calls_are_those_that_the_evaluation_counted(tmp_path):
    """Scores of float32, many of them equal to a threshold; the file goes through the disk."""
    rng = np.random.default_rng(0)
    names, size = ("A", "B", "C"), 200
    labels = rng.integers(0, 2, (size, 3)).astype(float)
    labels[:, 2] = 0  # nothing can choose the threshold of C
    scores = (rng.integers(0, 12, (size, 3)) / 12 * 0.7 + 0.3 * labels).astype(np.float32).astype(float)
    table = FindingTable([ImageRow(str(k)) for k in range(size)], names, labels, scores)
    options = Options(bootstraps=0)
    run = Recorder(options, "test", "val")
    run.thresholds["teacher"] = {"set": choose_thresholds(table, "youden", "val")}
    run.scores["teacher"] = {"set/cls": score_findings(table, options, run.thresholds["teacher"]["set"])}
    run.write(tmp_path)
    unit, classes = Unit("set", "cls"), UnitClasses(names)
    points = OperatingPoints.load(tmp_path / "thresholds.json").of("teacher", {unit: classes})
    calls = [call_findings(points[unit], classes, row) for row in torch.tensor(scores).float().tolist()]
    counted = run.scores["teacher"]["set/cls"].details["operating_points"]
    for k, name in enumerate(names):
        pairs = [(call[name], label == 1) for call, label in zip(calls, labels[:, k], strict=True)]
        expected = {"tp": (True, True), "fn": (False, True), "fp": (True, False), "tn": (False, False)}
        assert {key: pairs.count(pair) for key, pair in expected.items()} == {
            key: counted[name][key] for key in expected
        }
    assert "1 class called at a default that no image chose: set/cls C" in describe(points, {unit: classes})


def test_what_is_said(tmp_path):
    points = OperatingPoints.load(write(tmp_path, STORED)).of("teacher", CLASSES)
    assert describe(points, CLASSES) == [
        "1 class called at an operating point of the file",
        "1 class called at a default that no image chose: nih_cxr14/cls Mass",
        "2 classes without an operating point, not called: nih_cxr14/cls Hernia, siim_acr/cls Pneumothorax",
        "the class with the highest score called, since they exclude each other: ward/cls",
    ]
    assert describe({}, CLASSES) == ["no unit of findings is predicted, nothing is called"]


def test_heads_read_together():
    mapping = FindingMap({"Air": {"nih_cxr14": ("Pneumothorax", "Hernia"), "siim_acr": ("Pneumothorax",)}})
    outputs = {NIH: {"scores": torch.tensor([0.9, 0.1, 0.3])}, SIIM: {"scores": torch.tensor([0.2])}}

    def called(nih, siim):
        calls = {NIH: dict(zip(CLASSES[NIH].names, nih, strict=True)), SIIM: {"Pneumothorax": siim}}
        return [(finding.calls, finding.called) for finding in mapping.join(CLASSES, outputs, calls)]

    # One of two classes of a head is enough; a class that nothing can call does not count as "not called".
    one = {"nih_cxr14/cls": True, "siim_acr/cls": False}
    assert called((True, False, None), False) == [(one, 1), ({}, None)] == called((False, True, None), False)
    assert called((None, False, True), None) == [({"nih_cxr14/cls": False}, 0), ({"nih_cxr14/cls": True}, 1)]
    assert Finding("x").called is None


def entry(threshold=0.5, source="s", label="Mass", dataset="nih_cxr14", model="teacher"):
    return {model: {dataset: {label: {"threshold": threshold, "source": source}}}}


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ("{", "t.json: not valid JSON"),
        ([], "t.json: models are needed here"),
        ({}, "t.json: holds no operating points; the run that wrote it had no findings"),
        ({"teacher": 3}, "t.json: teacher: datasets are needed here, not 3"),
        ({"teacher": {"nih_cxr14": 0.5}}, "t.json: teacher/nih_cxr14: classes are needed here, not 0.5"),
        ({"teacher": {"nih_cxr14": {"Mass": 0.5}}}, "t.json: teacher/nih_cxr14/Mass: .* is needed here, .* not 0.5"),
        (entry(source=None), "teacher/nih_cxr14/Mass: .*source"),
        (entry(True), "teacher/nih_cxr14/Mass: .*a number"),
        (entry("0.5"), "teacher/nih_cxr14/Mass: .*a number"),
        (entry(1.01), "t.json: teacher/nih_cxr14/Mass: the threshold must lie in 0..1, not 1.01"),
        (entry(float("nan")), "t.json: teacher/nih_cxr14/Mass: the threshold must lie in 0..1, not nan"),
        (entry(-0.1, model="student"), "t.json: student/nih_cxr14/Mass: the threshold must lie in 0..1, not -0.1"),
        (entry(model="techer"), "t.json: unknown model 'techer'; did you mean 'teacher'"),
        (entry(model="student"), "t.json: no operating points of the teacher; it has: student"),
        (entry(dataset="nih_cxr"), "t.json: teacher/nih_cxr: .* no unit nih_cxr/cls; did you mean 'nih_cxr14'"),
        (entry(label="Mas"), "t.json: teacher/nih_cxr14: the network has no class 'Mas'; did you mean 'Mass'"),
    ],
)
def test_bad_files(tmp_path, stored, message):
    path = write(tmp_path, stored, "t.json")
    with pytest.raises(DataError, match=message):
        OperatingPoints.load(path).of("teacher", CLASSES)


def test_a_file_that_is_not_there(tmp_path):
    for path, what in ((tmp_path / "gone.json", "not there"), (tmp_path, "a folder")):
        with pytest.raises(DataError, match=f"operating points '{path}' is {what}"):
            OperatingPoints.load(path)


def test_from_python(trained, tmp_path):
    plain = fx_d2.Predictor.from_config(trained.config, trained.weights)(trained.images[0])
    assert plain.calls == {} and all(finding.called is None for finding in plain.findings)
    with pytest.raises(ValueError, match="give the predictor operating_points"):
        plain.called("phantom_screen/cls")
    scores = plain.scores("phantom_screen/cls")
    first, second, *others = scores
    # At the score itself it is called, a trifle above it is not.
    chosen = {first: scores[first], second: np.nextafter(scores[second], 1)}
    stored = {name: {"threshold": value, "source": CHOSEN} for name, value in chosen.items()}
    path = write(tmp_path, {"teacher": {"phantom_screen": stored}})
    options = {"units": "phantom_screen/cls,phantom_emergency/cls", "operating_points": path}
    prediction = fx_d2.Predictor.from_config(trained.config, trained.weights, **options)(trained.images[0])
    assert prediction.called("phantom_screen/cls") == {first: True, second: False} | dict.fromkeys(others)
    exclusive = plain.scores("phantom_emergency/cls")
    assert [name for name, called in prediction.called("phantom_emergency/cls").items() if called] == [
        max(exclusive, key=exclusive.get)
    ]
    with pytest.raises(DataError, match="no operating points of the student; it has: teacher"):
        fx_d2.Predictor.from_config(trained.config, trained.weights, model="student", operating_points=path)


def test_a_default_is_told_by_how_its_source_begins():
    """The wording of the evaluation and that which is looked for here are the same."""
    (point,) = default_thresholds(("A",), "nobody chose it").values()
    unit = Unit("set", "cls")
    (_, line) = describe({unit: {"A": OperatingPoint(**point)}}, {unit: UnitClasses(("A",))})
    assert line == "1 class called at a default that no image chose: set/cls A"

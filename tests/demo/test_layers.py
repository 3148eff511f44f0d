"""Layers and tables of the demo, read back as XML; no browser, no server."""

from dataclasses import replace
from xml.etree import ElementTree

import pytest

from fx_d2.demo.layers import Labels, layer, to_css
from fx_d2.demo.tables import anatomy_rows, finding_rows, ratio_rows, score_rows
from fx_d2.prediction.cardiothoracic import CardiothoracicRatio, Diameter
from fx_d2.prediction.findings import Finding, FindingMap
from fx_d2.prediction.pictures import Palette
from fx_d2.schedule import Unit
from tests.prediction.test_pictures import BOX, CLASSES, CLS, MASK, make

MAPPING = FindingMap.load()
PALETTE = Palette(MAPPING.table(CLASSES))


def parse(unit, threshold=0.3, size=(1000, 800), prediction=None):
    labels = Labels(size[0])
    text = layer(prediction or make(), unit, size, MAPPING, PALETTE, threshold, labels)
    return ElementTree.fromstring(f"<svg>{text}{labels.svg}</svg>")


def test_boxes_in_the_coordinates_of_the_displayed_image():
    svg = parse(BOX)  # an image of 500 x 400 shown at twice its size
    (box,) = svg.findall("rect")
    assert [float(box.get(key)) for key in ("x", "y", "width", "height")] == [200, 100, 200, 200]
    assert box.get("stroke") == to_css(PALETTE["Nodule"])
    assert svg.find("text").text == "Nodule 0.90"
    assert len(parse(BOX, threshold=0.05).findall("rect")) == 2
    assert len(parse(BOX, threshold=0.95)) == 0


def test_the_outline_of_a_mask():
    (path,) = parse(MASK).findall("path")
    points = [tuple(map(float, p.split())) for p in path.get("d").strip("MZ").split("L")]
    xs, ys = zip(*points, strict=True)
    # Columns 20..119 and rows 200..299 of the mask, at twice the size.
    assert (min(xs), max(xs)) == pytest.approx((40, 239), abs=1.5)
    assert (min(ys), max(ys)) == pytest.approx((400, 599), abs=1.5)


def test_masks_have_their_name_in_a_tooltip_alone():
    svg = parse(MASK)
    assert [title.text for title in svg.iter("title")] == ["Pneumothorax 0.80 siim_acr"] and svg.find("text") is None
    assert [title.text for title in parse(BOX).iter("title")] == ["Nodule 0.90 node21"]


def test_texts_do_not_cover_each_other():
    labels = Labels(1000)  # letters are 1000 / 36 = 27.8 pixels high and 15.6 wide
    labels.put("Nodule", [(100, 50), (100, 90)], "#fff")
    labels.put("Nodule", [(170, 50), (170, 90)], "#fff")  # the first ends at 193
    labels.put("Nodule", [(200, 50)], "#fff")
    labels.put("Nodule", [(100, 60), (100, 100)], "#fff")  # no room
    labels.put("Nodule", [(500, 20)], "#fff")  # above the upper edge
    labels.put("Nodule", [(990, 400)], "#fff")  # moved into the picture
    texts = ElementTree.fromstring(f"<svg>{labels.svg}</svg>").findall("text")
    places = [(float(text.get("x")), float(text.get("y"))) for text in texts]
    assert places == [(100, 50), (170, 90), (200, 50), (906.7, 400)]


def test_class_names_cannot_break_out_of_the_drawing():
    prediction = make()
    object.__setattr__(prediction, "classes", {**CLASSES, BOX: type(CLASSES[BOX])(('<script>&"',))})
    mapping = FindingMap.load()
    palette = Palette(mapping.table(prediction.classes))
    labels = Labels(500)
    text = layer(prediction, BOX, (500, 400), mapping, palette, 0.3, labels) + labels.svg
    svg = ElementTree.fromstring(f"<svg>{text}</svg>")
    assert "<script" not in text and svg.find("text").text.startswith("<script>")
    assert [title.text for title in svg.iter("title")] == ['<script>&" 0.90 node21']


def test_tables_put_the_models_side_by_side():
    rows = finding_rows({"teacher": make(), "student": make(scores=(0.4, 0.2))})
    nodule = next(row for row in rows if row["finding"] == "Nodule")
    assert nodule == {
        "finding": "Nodule",
        "heads": 0,
        "teacher": "",
        "teacher_range": "",
        "teacher_called": "",
        "teacher_found": "box\u00a00.90",
        "student": "",
        "student_range": "",
        "student_called": "",
        "student_found": "box\u00a00.40",
    }
    assert anatomy_rows({"teacher": make()}) == []
    (row,) = score_rows({"teacher": make()})
    assert row == {
        "id": "siim_acr/cls/Pneumothorax",
        "unit": "siim_acr/cls",
        "class": "Pneumothorax",
        "teacher": "0.50",
        "teacher_called": "",
    }
    assert Unit.parse(row["unit"]) in CLASSES


def test_located_findings_come_last_and_anatomy_apart():
    findings = [
        Finding("Nodule", boxes={"a/box": 0.5}),
        Finding("Left Lung (a)", boxes={"a/box": 0.7}, masks={"a/mask": 0.9, "b/mask": 0.8}),
        Finding("Rib Fracture (a)", boxes={"a/box": 0.2}),
        Finding("Mass", {"a/cls": 0.1, "b/cls": 0.25}),
        Finding("Heart (a)", {"a/cls": 0.3}),  # a head that reads it off the whole image means a finding
    ]
    predictions = {"teacher": replace(make(), findings=findings), "student": replace(make(), findings=findings)}
    rows = finding_rows(predictions)
    assert [row["finding"] for row in rows] == ["Mass", "Heart (a)", "Nodule", "Rib Fracture (a)"]
    assert rows[0]["teacher_range"] == "0.10\u00a0to\u00a00.25"
    found = "box\u00a00.70, mask\u00a00.90"
    assert anatomy_rows(predictions) == [{"structure": "Left Lung (a)", "teacher": found, "student": found}]


def test_tables_say_what_is_called():
    prediction = make()
    calls = {CLS: {"Pneumothorax": True}}
    findings = MAPPING.join(CLASSES, prediction.outputs, calls)
    called = replace(prediction, calls=calls, findings=findings)
    rows = {row["finding"]: row["teacher_called"] for row in finding_rows({"teacher": called})}
    assert rows == {"Pneumothorax": "1 of 1", "Nodule": ""}
    for value, word in ((True, "yes"), (False, "no"), (None, "")):
        (row,) = score_rows({"teacher": replace(prediction, calls={CLS: {"Pneumothorax": value}})})
        assert row["teacher_called"] == word


def with_ratio(heart, flags=()):
    """Heart and thorax of an image of 500 x 400."""
    return replace(make(), cardiothoracic={MASK: CardiothoracicRatio(heart, Diameter(50, 450, 100.5), flags)})


def test_lines_of_the_cardiothoracic_ratio():
    svg = parse(MASK, prediction=with_ratio(Diameter(150, 350, 110.5)))  # shown at twice its size
    places = [[float(line.get(key)) for key in ("x1", "x2", "y1", "y2")] for line in svg.findall("line")]
    assert places == [[100, 900, 201, 201], [300, 700, 221, 221]]
    texts = {text.text: float(text.get("y")) for text in svg.findall("text")}
    assert texts["thorax 400 px, CTR 0.50 siim_acr"] < 201 and texts["heart 200 px"] > 221 + 20
    assert not parse(BOX, prediction=with_ratio(Diameter(150, 350, 110.5))).findall("line")
    assert not parse(MASK).findall("line")


def test_rows_of_the_cardiothoracic_ratio():
    why = "The mask of the heart is empty."
    good, empty = with_ratio(Diameter(150, 350, 110.5)), with_ratio(None, (why,))
    assert ratio_rows({"teacher": good, "student": empty}) == [
        {
            "unit": "siim_acr/mask",
            "teacher": "0.50",
            "teacher_flags": "",
            "student": "not measured",
            "student_flags": why,
        }
    ]
    assert ratio_rows({"teacher": make()}) == []

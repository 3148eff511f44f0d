"""Plots: where marks lie, against places computed by hand, and what they say in words."""

import re
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from fx_d2.report.charts import (
    Curve,
    between,
    calibration_chart,
    distribution_chart,
    froc_chart,
    interval_chart,
    roc_chart,
)
from fx_d2.report.pictures import Case, Shape, contours, draw_case, encode
from fx_d2.report.svg import Axis, Plot, tag, thin
from fx_d2.report.timeline import History, ScheduledPass, cycle_chart, history_chart, run_chart


def parts(svg, class_):
    """Elements whose class holds a word."""
    return [e for e in ElementTree.fromstring(str(svg)).iter() if class_ in e.get("class", "").split()]


def numbers(path):
    return [float(v) for v in re.findall(r"-?[\d.]+", path)]


def test_text_and_attributes_are_escaped():
    assert str(tag("a", "x", class_='"<&', x=0.1234567, y=None)) == '<a class="&#34;&lt;&amp;" x="0.123457">x</a>'
    svg = roc_chart([Curve("<Mass> & co", [(0, 0), (1, 1)], None, 0)], "a/cls")
    assert "AUROC –" in parts(svg, "class")[0][0].text and "<Mass>" in ElementTree.fromstring(str(svg)).get(
        "aria-label"
    )


def test_places_on_linear_and_logarithmic_axes():
    assert [Axis(2, 4).place(v) for v in (1, 2, 3, 5)] == [0, 0, 0.5, 1]
    assert Axis(0.125, 8, log=True).place(1) == pytest.approx(0.5)
    assert Axis(1, 1).place(1) == 0.5
    assert Axis(0, 1).marks() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])


def test_thinning_keeps_the_ends_and_the_steep_part():
    x = np.linspace(0, 1, 5001)
    points = list(zip(x, np.where(x < 0.001, 1000 * x, 1.0), strict=True))
    kept = thin(points, 50)
    assert len(kept) <= 50 and kept[0] == points[0] and kept[-1] == points[-1]
    assert sum(x < 0.001 for x, _ in kept) >= 2  # six of five thousand points make half of the line
    assert thin(points[:7], 50) == points[:7]


def test_a_curve_goes_through_its_points():
    svg = roc_chart([Curve("Mass", [(0, 0), (0.5, 0.75), (1, 1)], 0.8, 0)], "a/cls")
    (line,) = parts(svg, "class")
    # The frame is 44 from the left, 12 from the right and the top, 40 from the bottom of 340 x 300.
    assert numbers(line.get("d")) == pytest.approx([44, 260, 44 + 142, 260 - 0.75 * 248, 328, 12], abs=0.06)
    assert "Mass 0.800" in ElementTree.fromstring(str(svg)).get("aria-label")


def test_froc_between_its_ends():
    points = [(0.01, 0.1), (0.1, 0.2), (1, 0.5), (20, 0.9)]
    assert between(points, 0.125, 8) == [(0.125, 0.2), (1, 0.5), (8, 0.5)]
    assert between([], 0.125, 8) == [(0.125, 0.0), (8, 0.0)]
    labels = [e.text for e in parts(froc_chart([Curve("a", points, 0.3, 0)], "x"), "tick")]
    assert labels[-7:] == ["1/8", "1/4", "1/2", "1", "2", "4", "8"]


def test_calibration_dots_grow_with_the_cases():
    svg = calibration_chart([(0.1, 0.0, 100), (0.9, 1.0, 25)], 0.1, "a/cls")
    small, large = sorted(float(dot.get("r")) for dot in parts(svg, "soft"))
    assert (large - 2.5) ** 2 == pytest.approx(4 * (small - 2.5) ** 2)


def test_quartiles_and_median_of_a_distribution():
    svg = distribution_chart({"Lung": [0.2, 0.4, 0.6, 0.8, 1.0], "Rib": []}, "Dice", "a/mask")
    (median,), (box,) = parts(svg, "median"), parts(svg, "quartiles")
    scale = 340 - 118 - 12
    assert numbers(median.get("d"))[0] == pytest.approx(118 + 0.6 * scale, abs=0.1)
    assert numbers(box.get("d"))[0] == pytest.approx(118 + 0.4 * scale, abs=0.1)
    assert len(parts(svg, "cloud")) == 5


def test_whiskers_of_an_interval():
    svg = interval_chart([("teacher", 0.75, (0.5, 1.0)), ("student", None, None)], 0.5, "words")
    (whisker,), (dot,) = parts(svg, "whisker"), parts(svg, "dot")
    assert numbers(whisker.get("d"))[0::2] == [4, 146] and float(dot.get("cx")) == 75
    assert parts(svg, "middle")[0].text == "undefined"


def test_bars_span_their_values():
    plot = Plot(Axis(0, 10), Axis(0, 1), "x", width=256)  # 200 wide
    plot.bars([(5, 10, 0, 1)], "band")
    assert numbers(parts(plot.draw(), "band")[0].get("d")) == [144, 12, 100, 198, -100]


def test_bars_that_nearly_touch_are_one():
    plot = Plot(Axis(0, 1000), Axis(0, 1), "x", width=256)  # 5 values a unit of the drawing
    plot.bars([(0, 100, 0, 1), (101, 200, 0, 1), (300, 300, 0, 1), (310, 320, 0, 0.5)], "band")
    d = parts(plot.draw(), "band")[0].get("d")
    assert d.count("M") == 3 and numbers(d)[:3] == [44, 12, 40] and numbers(d)[5:8] == [104, 12, 0.4]
    many = Plot(Axis(0, 30_000), Axis(0, 1), "x")
    many.bars([(10 * i, 10 * i + 1, 0, 1) for i in range(3000)], "band")
    assert len(parts(many.draw(), "band")[0].get("d")) < 100


PASSES = [
    ScheduledPass("a/cls", False, 8, 0, 2),
    ScheduledPass("a/box", True, 4, 2, 1),
    ScheduledPass("a/box", False, 8, 3, 2),
]


def test_the_cycle_in_order():
    svg = cycle_chart(PASSES)
    passes = parts(svg, "pass")
    left = [float(e.get("x")) for e in passes]
    scale = (860 - 178 - 12) / 5
    assert left == pytest.approx([178, 178 + 2 * scale, 178 + 3 * scale], abs=0.1)
    assert [("locked" in e.get("class")) for e in passes] == [False, True, False] and len(parts(svg, "lock")) == 1
    assert passes[1][0].text == "a/box locked: 4 images, 1 steps"


def test_the_run_stopped_half_way():
    svg = run_chart(5, 4, 10, [4, 9], 4)
    (done,) = parts(svg, "done")
    assert float(done.get("width")) == pytest.approx(848 / 2, abs=0.1)
    assert len(parts(run_chart(5, 900, 4500, list(range(4, 4500, 5)), None), "scored")) <= 120
    assert len(parts(svg, "scored")) == 2 and "10 of 20 iterations (4 cycles of 5)" in str(svg)


def test_history_marks_the_passes_of_the_unit():
    scores = {"teacher": [(4, 0.5), (9, 0.7)], "student": []}
    history = History(
        "a/box",
        "AP50",
        scores,
        [(2, 3.0), (7, float("nan")), (8, 1.0)],
        [(2, 3, True), (3, 5, False)],
        {"teacher": 0.8},
    )
    svg = history_chart(history, 10)
    assert len(parts(svg, "band")) == 2 and len(parts(svg, "strip")) == 2
    assert len(parts(svg, "final")) == 1 and len(parts(svg, "teacher")) == 4
    empty = history_chart(History("a/box", "AP50", {}, [], [], {}), 0)
    assert [e.text for e in parts(empty, "none")] == ["not scored during the run", "no losses written"]


def rasterise(path, height, width):
    """Fills an SVG path of straight lines by the even-odd rule, with OpenCV."""
    picture = np.zeros((height, width), np.uint8)
    outlines = [np.array(numbers(p)).reshape(-1, 2).astype(np.int32) for p in path.split("M")[1:]]
    cv2.fillPoly(picture, outlines, 1)
    return picture.astype(bool)


def test_outlines_give_the_mask_back_with_its_hole():
    mask = np.zeros((200, 160), bool)
    mask[40:160, 30:130] = True
    mask[80:120, 60:100] = False
    drawn = rasterise(contours(mask, 1.0), 200, 160)
    assert (drawn != mask).sum() < 0.05 * mask.sum() and not drawn[90:110, 70:90].any()
    half = rasterise(contours(mask, 0.5), 100, 80)
    assert half.sum() == pytest.approx(mask.sum() / 4, rel=0.1)
    speck = np.zeros((400, 400), bool)
    speck[7, 9] = True
    assert contours(speck, 0.1).startswith("M") and contours(np.zeros((9, 9), bool), 1.0) == ""


def test_pictures_fit_their_share():
    noise = np.random.default_rng(0).integers(0, 256, (900, 1200), np.uint8)
    uri, width, height = encode(noise, 20_000)
    assert (
        len(uri) <= 20_100
        and uri.startswith("data:image/jpeg;base64,")
        and width / height == pytest.approx(4 / 3, 0.02)
    )
    flat, width, height = encode(np.full((90, 120), 7, np.uint8), 20_000)
    assert (width, height) == (120, 90)  # never enlarged


def test_boxes_are_drawn_in_the_pixels_of_the_image():
    image = np.zeros((100, 200), np.uint8)
    truth, found = Shape("Mass", 0, box=(50, 20, 100, 60)), Shape("Mass 0.90", 0, box=(0, 0, 200, 100))
    case = Case("best", "p1.png", "quality", "alt", image, [truth], [found])
    picture = str(draw_case(case, 10_000))
    overlay = re.search(r"<svg.*</svg>", picture)[0]
    (layer,) = parts(overlay, "layer-truth")
    (rectangle,) = [e for e in layer.iter() if e.get("class") == "outline"]
    scale = 320 / 200
    assert [float(rectangle.get(k)) for k in ("x", "y", "width", "height")] == [
        50 * scale,
        20 * scale,
        50 * scale,
        40 * scale,
    ]
    assert 'alt="alt"' in picture and "Mass 0.90" in picture
    missing = str(draw_case(Case("best", "p", "", "", None, problem="<gone>"), 1))
    assert "&lt;gone&gt;" in missing and "<img" not in missing

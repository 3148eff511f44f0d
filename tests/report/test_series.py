"""Series of a plot: no two of twenty-four look alike, and all stand out from the page."""

import re
from xml.etree import ElementTree

import pytest

from fx_d2.report.series import colors, draw_series, key, style
from fx_d2.report.svg import Axis, Plot


def looks(index):
    """Colour, dashes and marker of a legend's entry."""
    line, mark = ElementTree.fromstring(str(key(index)))
    return key(index).split("hue")[1][0], line.get("stroke-dasharray"), mark.get("d")


def test_series_differ_in_colour_or_in_marker_and_dashes():
    assert len({looks(i)[0] for i in range(6)}) == 6
    for a in range(24):
        for b in range(a):
            hue, dashes, mark = (x == y for x, y in zip(looks(a), looks(b), strict=True))
            assert not hue or (not dashes and not mark)


def luminance(color):
    """Of WCAG 2.2."""
    parts = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize(("dark", "page"), [(False, "#ffffff"), (True, "#14161a")])
def test_colours_have_the_contrast_that_graphics_need(dark, page):
    for color in colors(dark):
        high, low = sorted((luminance(color) + 0.05, luminance(page) + 0.05), reverse=True)
        assert high / low >= 3


def test_a_page_has_both_schemes_and_paper_is_light():
    light, dark = style().split("@media screen and (prefers-color-scheme: dark)")
    assert re.findall(r"color:(#\w+)", light) == colors() and re.findall(r"color:(#\w+)", dark) == colors(True)


def test_lines_intervals_and_markers_lie_at_their_values():
    plot = Plot(Axis(0, 2), Axis(0, 1), "", width=256, height=152)  # 200 by 100 units from (44, 12)
    draw_series(plot, 1, [(0, 0.5), (2, 1.0)], ["first", "<last>"], [None, (0.75, 1.0)])
    line, whisker, first, last = ElementTree.fromstring(str(plot.marks[0]))
    assert line.get("d") == "M44 62L244 12" and whisker.get("d") == "M244 37V12M241 37h6M241 12h6"
    assert first.get("transform").startswith("translate(44 62)") and last[0].text == "<last>"
    draw_series(plot, 0, [], [])
    assert len(plot.marks) == 1
    draw_series(plot, 0, [(i / 50, i / 100) for i in range(101)], [str(i) for i in range(101)])
    assert plot.marks[1].count('class="mark"') == 9

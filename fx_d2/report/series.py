"""Series of a plot, told apart by colour, marker and dashes, on a page of either scheme and in a file of its own.

Six colours, five markers: thirty series differ in one of the two, and those of one colour in their dashes, too.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from markupsafe import Markup

from ..visualization.palette import color_of, mix, to_css
from .svg import Plot, Point, tag, text, thin, tooltip

# Of the palette without yellow, which is not seen on white; the first ones differ most.
_HUES = tuple(color_of(index) for index in (5, 4, 2, 3, 0, 1))
# Share of black that makes them stand out from white.
_DIM = 0.22
# Outlines in -1..1: circle, square, triangle, diamond, triangle on its tip.
_MARKERS = (
    "M-1 0a1 1 0 1 0 2 0a1 1 0 1 0-2 0z",
    "M-.9-.9h1.8v1.8h-1.8z",
    "M0-1.2L1.15.85h-2.3z",
    "M0-1.3L1.3 0 0 1.3-1.3 0z",
    "M0 1.2L1.15-.85h-2.3z",
)
_DASHES = (None, "7 3", "2 3", "8 3 2 3", "1 4")
# More markers than this on a line hide it.
_MOST = 9
_EDGE = 8
_RULES = (
    ".series .line,.series .whisker{fill:none;stroke:currentColor;stroke-width:2;stroke-linejoin:round}"
    ".series .whisker{stroke-width:1.4}.series .mark{fill:currentColor;stroke:none}"
)
# What ``report.css`` says of a plot's other parts, for a file without it.
_PLAIN = (
    "text{font:11px Helvetica,Arial,sans-serif;fill:#444}.title{font-size:14px;font-weight:bold;fill:#000}"
    ".middle{text-anchor:middle}.end{text-anchor:end}.grid{fill:none;stroke:#e4e2dc}.axis{fill:none;stroke:#999}"
)


def colors(dark: bool = False) -> list[str]:
    """``#rrggbb`` of the colours, on white or on a dark page; series come to them in turn."""
    return [to_css(color if dark else mix(color, 0.0, _DIM)) for color in _HUES]


def style() -> Markup:
    """Rules of a page in light and dark; paper is light."""
    dark = f"@media screen and (prefers-color-scheme: dark){{{_hues(True)}}}"
    return Markup(_RULES + _hues(False) + dark)


def _hues(dark: bool) -> str:
    return "".join(f".hue{number}{{color:{color}}}" for number, color in enumerate(colors(dark)))


def draw_series(
    plot: Plot,
    index: int,
    points: Sequence[Point],
    hints: Sequence[str],
    intervals: Sequence[tuple[float, float] | None] = (),
) -> None:
    """A line with markers, at all of a few points.

    Args:
        index: number of the series. hints: a text for each point.
        intervals: (low, high) in y, of each point that has any; empty where none has.
    """
    if not points:
        return
    places = [plot.at(*point) for point in points]
    parts = [_line(index, plot.path(thin(points)))]
    for (x, _), bounds in zip(points, intervals, strict=False):
        if bounds is not None:
            (place, low), (_, high) = plot.at(x, bounds[0]), plot.at(x, bounds[1])
            caps = "".join(f"M{place - 3:g} {y:g}h6" for y in (low, high))
            parts.append(tag("path", class_="whisker", d=f"M{place:g} {low:g}V{high:g}{caps}"))
    words = dict(zip(places, hints, strict=True))
    parts += [_marker(index, place, words[place]) for place in thin(places, _MOST)]
    plot.marks.append(tag("g", Markup("").join(parts), class_=f"series {_hue(index)}"))


def key(index: int) -> Markup:
    """Line and marker of a series, for a page's legend."""
    return tag("svg", _sample(index), class_=f"series swatch {_hue(index)}", viewBox="0 0 30 12", aria_hidden="true")


def standalone(plot: Plot, title: str, names: Sequence[str]) -> str:
    """The plot as an SVG file: on white, with its title, and a legend of the series 0, 1, ..."""
    lines, step = textwrap.wrap(title, 44), 18
    head = 12 + step * len(lines)
    width, height = plot.width + 2 * _EDGE, head + plot.height + step * len(names) + 10
    parts = [
        tag("style", Markup(_PLAIN + _RULES + _hues(False))),
        tooltip(title),
        tag("rect", x=-_EDGE, width=width, height=height, fill="#fff"),
        *(text(plot.width / 2, 20 + step * row, line, class_="title middle") for row, line in enumerate(lines)),
        tag("g", plot.content(), transform=f"translate(0 {head})"),
    ]
    for index, name in enumerate(names):
        y = head + plot.height + step * index + 4
        sample = tag("g", _sample(index), class_=f"series {_hue(index)}", transform=f"translate({plot.left} {y})")
        parts += [sample, text(plot.left + 38, y + 9.5, name)]
    size = {"viewBox": f"{-_EDGE} 0 {width} {height}", "width": 2 * width, "height": 2 * height}
    space = "http://www.w3.org/2000/svg"
    return tag("svg", Markup("").join(parts), xmlns=space, **size, role="img", aria_label=plot.alt) + "\n"


def _hue(index: int) -> str:
    return f"hue{index % len(_HUES)}"


def _line(index: int, path: str) -> Markup:
    return tag("path", class_="line", d=path, stroke_dasharray=_DASHES[index // len(_HUES) % len(_DASHES)])


def _marker(index: int, place: Point, hint: str = "") -> Markup:
    x, y = place
    outline, content = _MARKERS[index % len(_MARKERS)], tooltip(hint) if hint else ""
    return tag("path", content, class_="mark", d=outline, transform=f"translate({x:g} {y:g}) scale(3.8)")


def _sample(index: int) -> Markup:
    return _line(index, "M0 6H30") + _marker(index, (15, 6))

"""A small plot in SVG whose colours come from the page's style sheet, so that it follows its light and dark scheme.

A class attribute names what a mark is (``teacher``, ``student``, ``band``, ...); ``report.css`` says how it looks.
Matplotlib bakes colours and fonts into its SVG, which neither a dark page nor a reader's larger font could change.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from markupsafe import Markup, escape
from matplotlib.ticker import MaxNLocator

Point = tuple[float, float]
# More points than this per line are not seen at the size of a plot, only downloaded.
MAX_POINTS = 160
# Width of the thinnest bar and of the narrowest gap between two.
_THINNEST = 0.4


def tag(name: str, content: str = "", **attributes) -> Markup:
    """An element; ``class_`` is written ``class``, underscores become hyphens, None leaves an attribute out."""
    parts = []
    for key, value in attributes.items():
        if value is None:
            continue
        text = f"{value:.6g}" if isinstance(value, float) else str(value)
        parts.append(f' {key.rstrip("_").replace("_", "-")}="{escape(text)}"')
    return Markup(f"<{name}{''.join(parts)}>{content}</{name}>")


def text(x: float, y: float, content: object, **attributes) -> Markup:
    """A line of text; the content is escaped."""
    return tag("text", escape(str(content)), x=round(x, 1), y=round(y, 1), **attributes)


def tooltip(content: object) -> Markup:
    """What a browser shows when the pointer rests on the element that holds it."""
    return tag("title", escape(str(content)))


def thin(points: Sequence[Point], limit: int = MAX_POINTS) -> list[Point]:
    """At most ``limit`` of the points, evenly spaced along the line they draw; the ends stay."""
    if len(points) <= limit:
        return list(points)
    values = np.asarray(points, dtype=np.float64)
    spans = np.ptp(values, axis=0)
    steps = np.diff(values / np.where(spans > 0, spans, 1.0), axis=0)
    length = np.concatenate([[0.0], np.cumsum(np.hypot(*steps.T))])
    wanted = np.searchsorted(length, np.linspace(0.0, length[-1], limit))
    kept = np.unique(np.concatenate([[0], np.minimum(wanted, len(points) - 1), [len(points) - 1]]))
    return [points[i] for i in kept]


@dataclass(frozen=True)
class Axis:
    """Values ``low`` to ``high`` along one side of a plot.

    Attributes:
        ticks: places with a label; None: about ``bins`` round values.
        form: how a tick is written.
        log: base-2 logarithm; ``low`` must be above 0.
    """

    low: float
    high: float
    label: str = ""
    ticks: Sequence[float] | None = None
    form: Callable[[float], str] = "{:g}".format
    log: bool = False
    bins: int = 5

    def place(self, value: float) -> float:
        """0 at ``low``, 1 at ``high``; values outside are moved to the nearer end."""
        low, high, value = (math.log2(v) if self.log else v for v in (self.low, self.high, max(value, self.low)))
        return min(max((value - low) / (high - low), 0.0), 1.0) if high > low else 0.5

    def marks(self) -> list[float]:
        if self.ticks is not None:
            return list(self.ticks)
        span = self.high - self.low
        found = MaxNLocator(nbins=self.bins, steps=[1, 2, 2.5, 5, 10]).tick_values(self.low, self.high)
        return [float(v) for v in found if self.low - 1e-9 * span <= v <= self.high + 1e-9 * span]


@dataclass
class Plot:
    """Axes and marks; :meth:`draw` gives the SVG.

    Attributes:
        alt: the plot in words, for those who cannot see it.
        height, width: of the drawing, in the units of a phone's pixels.
        top, left: where the frame begins (room for labels); ``right``, ``bottom``: room after it.
    """

    x: Axis
    y: Axis
    alt: str
    width: int = 340
    height: int = 250
    left: int = 44
    right: int = 12
    top: int = 12
    bottom: int = 40
    marks: list[Markup] = field(default_factory=list)

    def at(self, x: float, y: float) -> Point:
        """The place of a value in the drawing."""
        wide, high = self.width - self.left - self.right, self.height - self.top - self.bottom
        return (
            round(self.left + self.x.place(x) * wide, 1),
            round(self.top + (1.0 - self.y.place(y)) * high, 1),
        )

    def path(self, points: Iterable[Point]) -> str:
        return "M" + "L".join("{:g} {:g}".format(*self.at(*point)) for point in points)

    def line(self, points: Sequence[Point], class_: str, hint: str = "", **attributes) -> None:
        """A line; one point alone becomes a dot."""
        if len(points) == 1:
            self.dots(points, class_, hint, **attributes)
        elif points:
            path = self.path(thin(points))
            self.marks.append(tag("path", tooltip(hint) if hint else "", class_=f"line {class_}", d=path, **attributes))

    def dots(self, points: Sequence[Point], class_: str, hint: str = "", radius: float = 3.0, **attributes) -> None:
        for point in points:
            x, y = self.at(*point)
            content = tooltip(hint) if hint else ""
            self.marks.append(tag("circle", content, class_=f"dot {class_}", cx=x, cy=y, r=radius, **attributes))

    def bars(self, spans: Iterable[tuple[float, float, float, float]], class_: str, hint: str = "") -> None:
        """Rectangles (x0, x1, y0, y1) in order of x as one element; those that nearly touch are joined."""
        joined: list[list[float]] = []
        for x0, x1, y0, y1 in spans:
            (left, low), (right, high) = self.at(x0, y0), self.at(x1, y1)
            right = max(right, left + _THINNEST)
            if joined and joined[-1][2:] == [low, high] and left - joined[-1][1] < _THINNEST:
                joined[-1][1] = max(right, joined[-1][1])
            else:
                joined.append([left, right, low, high])
        outline = "".join(
            f"M{left:g} {high:g}h{right - left:.3g}v{low - high:.4g}h{left - right:.3g}z"
            for left, right, low, high in joined
        )
        if outline:
            self.marks.append(tag("path", tooltip(hint) if hint else "", class_=f"bar {class_}", d=outline))

    def frame(self) -> Markup:
        """Grid, tick labels and axis labels."""
        parts = []
        right, floor = self.width - self.right, self.height - self.bottom
        for value in self.y.marks():
            _, y = self.at(self.x.low, value)
            parts.append(tag("path", class_="grid", d=f"M{self.left} {y:g}H{right}"))
            parts.append(text(self.left - 6, y + 3.5, self.y.form(value), class_="tick end"))
        for value in self.x.marks():
            x, _ = self.at(value, self.y.low)
            parts.append(tag("path", class_="grid", d=f"M{x:g} {self.top}V{floor}"))
            parts.append(text(x, floor + 14, self.x.form(value), class_="tick middle"))
        parts.append(tag("path", class_="axis", d=f"M{self.left} {self.top}V{floor}H{right}"))
        if self.x.label:
            parts.append(text((self.left + right) / 2, self.height - 6, self.x.label, class_="label middle"))
        if self.y.label:
            middle = (self.top + floor) / 2
            turned = f"rotate(-90 9 {middle:g})"
            parts.append(text(9, middle, self.y.label, class_="label middle", transform=turned))
        return Markup("").join(parts)

    def content(self) -> Markup:
        return self.frame() + Markup("").join(self.marks)

    def draw(self) -> Markup:
        return drawing(self.content(), self.width, self.height, self.alt)


def drawing(content: str, width: float, height: float, alt: str, class_: str = "plot") -> Markup:
    """A picture that fills the width it is given and says what it shows to a screen reader."""
    box = f"0 0 {width:g} {height:g}"
    return tag("svg", content, class_=class_, viewBox=box, role="img", aria_label=alt, focusable="false")

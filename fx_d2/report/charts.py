"""The plots of the report: ROC, FROC, calibration, distribution of Dice, curves over the run, intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from markupsafe import Markup

from ..visualization.palette import color_of, to_css
from .svg import Axis, Plot, Point, drawing, tag, text, tooltip


@dataclass(frozen=True)
class Curve:
    """One line of a plot.

    Attributes:
        points: (x, y) in order of x.
        name: of the class. value: a number that goes with it, or None.
        index: the class's number: its colour, the same in all pictures.
    """

    name: str
    points: Sequence[Point]
    value: float | None
    index: int


def share_axis(label: str) -> Axis:
    """From 0 to 1."""
    return Axis(0, 1, label, ticks=(0.0, 0.25, 0.5, 0.75, 1.0))


def number(value: float | None, digits: int = 3) -> str:
    """A metric for people; an undefined one is a dash."""
    return "–" if value is None else f"{value:.{digits}f}"


def curve_chart(x: Axis, y: Axis, curves: Sequence[Curve], title: str, measure: str, chance: bool = False) -> Markup:
    """One line a class.

    Args:
        title: what is drawn, in words. measure: name of the curves' values. chance: draw the diagonal.
    """
    values = ", ".join(f"{curve.name} {number(curve.value)}" for curve in curves)
    plot = Plot(x, y, f"{title}. {measure}: {values}.", height=300)
    if chance:
        plot.line([(0, 0), (1, 1)], "chance", "chance")
    for curve in curves:
        plot.line(curve.points, "class", f"{curve.name}: {measure} {number(curve.value)}", style=_color(curve.index))
    return plot.draw()


def roc_chart(curves: Sequence[Curve], subject: str) -> Markup:
    """True positive rate over false positive rate."""
    x, y = share_axis("false positive rate"), share_axis("sensitivity")
    return curve_chart(x, y, curves, f"ROC curves of {subject}", "AUROC", chance=True)


def precision_chart(curves: Sequence[Curve], subject: str) -> Markup:
    """Precision over sensitivity."""
    x, y = share_axis("sensitivity (recall)"), share_axis("precision")
    return curve_chart(x, y, curves, f"Precision-recall curves of {subject}", "average precision")


def froc_chart(curves: Sequence[Curve], subject: str) -> Markup:
    """Sensitivity over false positives per image on a logarithmic axis from 1/8 to 8."""
    ticks = (0.125, 0.25, 0.5, 1, 2, 4, 8)
    x = Axis(0.125, 8, "false positives per image", ticks, lambda v: f"1/{1 / v:g}" if v < 1 else f"{v:g}", log=True)
    shown = [replace(curve, points=between(curve.points, x.low, x.high)) for curve in curves]
    measure = "mean sensitivity at 1/8 to 8 false positives per image"
    return curve_chart(x, share_axis("sensitivity"), shown, f"FROC curves of {subject}", measure)


def between(points: Sequence[Point], low: float, high: float) -> list[Point]:
    """The part of a rising step curve from ``low`` to ``high``; it goes on level after its last point."""
    before = [y for x, y in points if x <= low]
    inside = [(x, y) for x, y in points if low < x <= high]
    level = inside[-1][1] if inside else before[-1] if before else 0.0
    return [(low, before[-1] if before else 0.0), *inside, (high, level)]


def calibration_chart(bins: Sequence[tuple[float, float, int]], error: float | None, subject: str) -> Markup:
    """Share of positives over mean score, a dot a bin whose area is the number of cases in it.

    Args:
        bins: mean score, share of positives, number of cases of each bin that has any.
    """
    plot = Plot(
        share_axis("mean predicted probability"),
        share_axis("share of positives"),
        f"Calibration of {subject}: expected calibration error {number(error)}. "
        + " ".join(f"At {x:.2f} predicted, {y:.2f} observed ({n} cases)." for x, y, n in bins),
        height=300,
    )
    plot.line([(0, 0), (1, 1)], "chance", "perfect calibration")
    plot.line([(x, y) for x, y, _ in bins], "teacher thin")
    most = max((n for *_, n in bins), default=1)
    for x, y, n in bins:
        plot.dots(
            [(x, y)], "teacher soft", f"{n} cases: {x:.2f} predicted, {y:.2f} observed", 2.5 + 7.5 * (n / most) ** 0.5
        )
    return plot.draw()


def distribution_chart(values: Mapping[str, Sequence[float]], label: str, subject: str) -> Markup:
    """One row a class: a dot an image (at most 150), the box from the first to the third quartile, the median.

    Args:
        values: scores in 0..1 of the images of each class, in the order of the classes.
    """
    rows = [
        (index, name, np.sort(np.asarray(column))) for index, (name, column) in enumerate(values.items()) if len(column)
    ]
    row, left = 30, 118
    height = 46 + row * max(1, len(rows))
    quartiles = {name: np.quantile(column, (0.25, 0.5, 0.75)) for _, name, column in rows}
    words = "; ".join(
        f"{name}: median {quartiles[name][1]:.2f}, quartiles {quartiles[name][0]:.2f} and {quartiles[name][2]:.2f}, "
        f"{len(column)} images"
        for _, name, column in rows
    )
    plot = Plot(
        share_axis(label),
        Axis(0, max(1, len(rows)), ticks=()),
        f"{label} of {subject}. {words}.",
        height=height,
        left=left,
    )
    for place, (index, name, column) in enumerate(rows):
        middle = len(rows) - place - 0.5
        shown = column[np.linspace(0, len(column) - 1, min(150, len(column))).round().astype(int)]
        for number_, value in enumerate(shown):
            plot.dots([(float(value), middle + 0.24 * (number_ % 5 - 2) / 2)], "cloud", radius=1.8, style=_color(index))
        low, median, high = (float(v) for v in quartiles[name])
        plot.bars([(low, high, middle - 0.3, middle + 0.3)], "quartiles", f"{name}: {low:.2f} to {high:.2f}")
        plot.line([(median, middle - 0.38), (median, middle + 0.38)], "median", f"{name}: median {median:.2f}")
        x, y = plot.at(0, middle)
        shortened = name if len(name) <= 18 else name[:17] + "…"
        plot.marks.append(
            tag("text", shortened + tooltip(f"{name}, {len(column)} images"), x=x - 8, y=y + 4, class_="tick end")
        )
    return plot.draw()


def interval_chart(rows: Sequence[tuple[str, float | None, Sequence[float] | None]], low: float, alt: str) -> Markup:
    """Dots with whiskers, one line a model, on an axis from ``low`` to 1; made for a table's cell.

    Args:
        rows: model (``teacher`` or ``student``), value, (lower, upper) or None.
    """
    width, step = 150, 12
    height = step * len(rows) + 4

    def place(value: float) -> float:
        return 4 + (width - 8) * min(max((value - low) / (1 - low), 0.0), 1.0)

    parts = [tag("path", class_="grid", d=f"M{place(v):.1f} 0V{height}") for v in (low, (1 + low) / 2, 1.0)]
    for line, (model, value, bounds) in enumerate(rows):
        y = 2 + step * (line + 0.5)
        if value is None:
            parts.append(text(width / 2, y + 3.5, "undefined", class_="tick middle"))
            continue
        if bounds is not None:
            parts.append(
                tag("path", class_=f"whisker {model}", d=f"M{place(bounds[0]):.1f} {y:g}H{place(bounds[1]):.1f}")
            )
        parts.append(tag("circle", class_=f"dot {model}", cx=round(place(value), 1), cy=y, r=3.6))
    return drawing(Markup("").join(parts), width, height, alt, "intervals")


def _color(index: int) -> str:
    """The style sheet's variable for the colour of a mark."""
    return f"--c:{to_css(color_of(index))}"

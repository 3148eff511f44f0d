"""The cycle and the run as pictures: which unit trains when, what is locked, where validation was scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from .charts import number
from .svg import Axis, Plot, Point, drawing, tag, text, thin, tooltip

# Widths of the drawings for a desk and for a phone, on which the letters have one size.
WIDE, NARROW = 860, 358
_ROW = 24
# More passes than this of one unit are drawn as a strip below the curve only, not as bands behind it.
_MAX_BANDS = 24
# More validations than this are not told apart on the run's strip.
_MAX_SCORED = 120


@dataclass(frozen=True)
class ScheduledPass:
    """One pass of the cycle. ``start``: its first iteration within the cycle."""

    unit: str
    locked: bool
    images: int
    start: int
    steps: int

    @property
    def task(self) -> str:
        return self.unit.rpartition("/")[2]

    @property
    def stop(self) -> int:
        return self.start + self.steps


def cycle_chart(passes: Sequence[ScheduledPass], width: int = WIDE) -> Markup:
    """One cycle, one row a unit, one bar a pass: pale, dashed and with a lock where the shared network is locked."""
    name_width = 178 if width == WIDE else 150
    units = list(dict.fromkeys(scheduled.unit for scheduled in passes))
    length = passes[-1].stop
    words = "; ".join(
        f"{s.unit} {'locked' if s.locked else 'released'}, {s.images} images in {s.steps} steps" for s in passes
    )
    plot = Plot(
        Axis(0, length, "iteration within the cycle"),
        Axis(0, len(units), ticks=()),
        f"One training cycle of {length} iterations, in order: {words}.",
        width=width,
        height=46 + _ROW * len(units),
        left=name_width,
        top=4,
    )
    for row, unit in enumerate(units):
        _, middle = plot.at(0, len(units) - row - 0.5)
        plot.marks.append(
            tag("text", _short(unit, name_width) + tooltip(unit), class_="name end", x=name_width - 8, y=middle + 4)
        )
    for scheduled in passes:
        place = len(units) - units.index(scheduled.unit)
        (x0, y0), (x1, y1) = plot.at(scheduled.start, place - 0.16), plot.at(scheduled.stop, place - 0.84)
        state = "locked" if scheduled.locked else "released"
        hint = tooltip(f"{scheduled.unit} {state}: {scheduled.images} images, {scheduled.steps} steps")
        box = {"x": x0, "y": y0, "width": max(x1 - x0 - 1, 1.0), "height": y1 - y0, "rx": 2}
        plot.marks.append(tag("rect", hint, class_=f"pass {scheduled.task} {state}", **box))
        if scheduled.locked and x1 - x0 >= 12:
            plot.marks.append(_lock((x0 + x1) / 2, (y0 + y1) / 2))
    return plot.draw()


def run_chart(
    length: int, cycles: int, done: int, scored: Sequence[int], best: int | None, width: int = WIDE
) -> Markup:
    """The whole run as a strip: cycles, how far it came, validations, the best checkpoint."""
    left, right = 6, 6
    total = max(length * cycles, 1)

    def place(iteration: float) -> float:
        return round(left + (width - left - right) * min(iteration / total, 1.0), 1)

    parts = [
        tag("rect", class_="track", x=left, y=20, width=width - left - right, height=12, rx=3),
        tag("rect", class_="track done", x=left, y=20, width=max(place(done) - left, 0.0), height=12, rx=3),
    ]
    every = max(1, -(-cycles // 40))
    for cycle in range(every, cycles, every):
        parts.append(tag("path", class_="cut", d=f"M{place(cycle * length)} 20v12"))
    for iteration, _ in thin([(iteration, 0.0) for iteration in scored], _MAX_SCORED):
        hint = tooltip(f"validation scored at iteration {iteration}")
        parts.append(tag("circle", hint, class_="dot scored", cx=place(iteration), cy=26, r=3.2))
    for cycle in sorted({0, cycles // 4, cycles // 2, 3 * cycles // 4, cycles}):
        anchor = "start" if cycle == 0 else "end" if cycle == cycles else "middle"
        label = f"{cycle}" if cycle else "cycle 0"
        parts.append(text(place(cycle * length), 48, label, class_="tick", text_anchor=anchor))
    if best is not None:
        x = place(best)
        anchor = "end" if x > width - 60 else "start" if x < 60 else "middle"
        parts.append(tag("path", tooltip("best checkpoint"), class_="best", d=f"M{x} 18l-4.5 -7h9z"))
        parts.append(text(x, 9, f"best, iteration {best + 1}", class_="tick", text_anchor=anchor))
    ran = f"{done} of {length * cycles} iterations ({cycles} cycles of {length})"
    alt = f"The run: {ran}; validation scored {len(scored)} times" + (
        f", best at iteration {best + 1}." if best is not None else "."
    )
    return drawing(Markup("").join(parts), width, 52, alt)


@dataclass(frozen=True)
class History:
    """What is known of a unit over the run.

    Attributes:
        scores: by model, (iteration, main metric) of validation.
        losses: (iteration, training loss of the unit).
        passes: (first, end, locked) iterations of the unit's passes up to where the run came.
        final: by model, the metric on the test split, or None.
        between: by model, (iteration, main metric) between units, of a part of validation perhaps.
    """

    unit: str
    metric: str
    scores: Mapping[str, Sequence[Point]]
    losses: Sequence[Point]
    passes: Sequence[tuple[int, int, bool]]
    final: Mapping[str, float | None]
    between: Mapping[str, Sequence[Point]] = field(default_factory=dict)


def history_chart(history: History, end: int) -> Markup:
    """Metric (above) and loss (below) of a unit over iterations; bands show when the unit itself was trained."""
    top, bottom = _metric_plot(history, end), _loss_plot(history, end)
    lower = tag("g", bottom.frame() + Markup("").join(bottom.marks), transform=f"translate(0 {top.height})")
    upper = top.frame() + Markup("").join(top.marks)
    return drawing(upper + lower, top.width, top.height + bottom.height, f"{top.alt} {bottom.alt}")


def _metric_plot(history: History, end: int) -> Plot:
    curves = [*history.scores.values(), *history.between.values()]
    values = [value for points in curves for _, value in points]
    values += [value for value in history.final.values() if value is not None]
    low = max(0.0, min(values, default=0.0) - 0.05)
    words = ", ".join(f"{model} {number(value)}" for model, value in history.final.items())
    plot = Plot(
        Axis(0, max(end, 1), ticks=()),
        Axis(low if low < 0.9 else 0.9, 1.0, history.metric),
        f"{history.unit}: {history.metric} over the run" + (f", at the end {words}." if words else "."),
        height=170,
        bottom=16,
    )
    _bands(plot, history, plot.y.low)
    for model in ("student", "teacher"):
        plot.dots(thin(list(history.between.get(model, ())), 80), f"{model} faint", f"{model}, between units", 1.6)
        points = list(history.scores.get(model, ()))
        plot.line(points, model, f"{model}, validation")
        if len(points) > 1:
            for x, y in thin(points, 40):
                plot.dots([(x, y)], model, f"{model}, iteration {x:g}: {y:.3f}", radius=2.0)
        final = history.final.get(model)
        if final is not None:
            plot.marks.append(_diamond(*plot.at(end, final), model, final))
    if not values:
        plot.marks.append(text(plot.width / 2, 85, "not scored during the run", class_="none middle"))
    return plot


def _loss_plot(history: History, end: int) -> Plot:
    finite = sorted(y for _, y in history.losses if y == y)
    # The first steps of a run would hide the rest; the top leaves out the highest 1 %.
    top = 1.1 * finite[int(0.99 * (len(finite) - 1))] if finite else 1.0
    plot = Plot(
        Axis(0, max(end, 1), "iteration"),
        Axis(0, top or 1.0, "loss", bins=2),
        f"Training loss: first {finite_at(history.losses, 0)}, last {finite_at(history.losses, -1)}." if finite else "",
        height=104,
        top=6,
    )
    plot.line([point for point in history.losses if point[1] == point[1]], "loss", "training loss")
    if not finite:
        plot.marks.append(text(plot.width / 2, 40, "no losses written", class_="none middle"))
    return plot


def finite_at(points: Sequence[Point], index: int) -> str:
    """The first or last finite value as text."""
    return f"{[y for _, y in points if y == y][index]:.3f}"


def _bands(plot: Plot, history: History, low: float) -> None:
    """A strip below the metric, and bands behind it where they are few."""
    task = history.unit.rpartition("/")[2]
    strip = 0.045 * (plot.y.high - low)
    for locked in (True, False):
        spans = [(a, b) for a, b, state in history.passes if state == locked]
        state = "locked" if locked else "released"
        if len(history.passes) <= _MAX_BANDS:
            plot.bars([(a, b, low, plot.y.high) for a, b in spans], f"band {task}")
        plot.bars([(a, b, low, low + strip) for a, b in spans], f"strip {task} {state}", f"trained, {state}")


def _diamond(x: float, y: float, model: str, value: float) -> Markup:
    hint = tooltip(f"{model}, test split: {value:.3f}")
    return tag("path", hint, class_=f"final {model}", d=f"M{x} {y - 5:g}l5 5l-5 5l-5 -5z")


def _lock(x: float, y: float) -> Markup:
    outline = f"M{x - 3.2:g} {y - 0.6:g}h6.4v5h-6.4zM{x - 2:g} {y - 0.6:g}v-1.6a2 2 0 0 1 4 0v1.6"
    return tag("path", class_="lock", d=outline)


def _short(unit: str, width: int) -> str:
    """The unit, its middle left out where it is longer than the room for it (7.4 units a letter)."""
    letters = int((width - 8) / 7.4)
    return unit if len(unit) <= letters else f"{unit[: letters - letters // 2 - 1]}…{unit[-(letters // 2) :]}"

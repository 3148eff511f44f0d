"""``external.md``: one page of what a network reached on datasets that it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tabulate import tabulate

from ..evaluation.estimates import Estimate
from ..evaluation.markdown import markdown_text
from .score import Outcome

FILE = "external.md"


def summary(title: str, weights: str, notice: str, outcomes: Sequence[Outcome], failures: Sequence[str]) -> str:
    """A row per unit of truth, then one per class; ``failures``: what could not be read."""
    parts = [f"# {markdown_text(title)}", f"Weights: `{Path(weights).name}`. {markdown_text(notice)}".strip()]
    rows = []
    for outcome in outcomes:
        metric, estimate = outcome.main
        low = outcome.percentile(10)
        exchanged, sides = outcome.exchanged
        row = [str(outcome.pairing.truth), str(outcome.pairing.head), str(outcome.images), metric, value(estimate)]
        rows.append([*row, "-" if low is None else f"{low:.3f}", f"{exchanged} of {sides}" if sides else "-"])
    headers = ["truth", "head", "images", "metric", "mean over classes", "10th percentile", "left and right exchanged"]
    parts.append(_table(headers, rows))
    rows = []
    for outcome in outcomes:
        metric, _ = outcome.main
        for label, names in outcome.pairing.classes.items():
            estimate = outcome.score.estimates[f"{metric}/{label}"]
            count = "-" if estimate.count is None else str(estimate.count)
            rows.append([str(outcome.pairing.truth), label, ", ".join(names), count, metric, value(estimate)])
    parts += ["## Classes", _table(["truth", "class", "classes of the head", "count", "metric", "value"], rows)]
    parts.append(
        "In brackets intervals by drawing patients with replacement. The 10th percentile is of the Dice of single "
        "images and classes. Exchanged: predictions that lie more on the other side's truth than on their own."
    )
    if failures:
        parts += ["## Not scored", "\n".join(f"- {markdown_text(failure)}" for failure in failures)]
    return "\n\n".join(parts) + "\n"


def value(estimate: Estimate) -> str:
    """``0.912 [0.881, 0.934]``, or the reason why there is none."""
    if estimate.value is None:
        return str(estimate.reason)
    text = f"{estimate.value:.3f}"
    return text if estimate.low is None else f"{text} [{estimate.low:.3f}, {estimate.high:.3f}]"


def _table(headers: list[str], rows: list[list[str]]) -> str:
    cells = [[markdown_text(cell) for cell in row] for row in rows]
    return tabulate(cells, headers, tablefmt="github", disable_numparse=True)

"""Results for reading: Markdown tables of the main metrics with their intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tabulate import tabulate

from .estimates import Estimate, UnitScore
from .tables import Options

# Columns, by task.
METRICS = {
    "cls": ("AUROC", "AP", "Sensitivity", "Specificity", "F1", "ECE"),
    "box": ("AP50", "AP", "AP75", "AP40", "FROC"),
    "mask": ("Dice", "IoU", "Dice_all", "HD95", "ASSD"),
}
TITLES = {"cls": "Findings", "box": "Boxes", "mask": "Masks"}
# In pixels; everything else is a share.
_LENGTHS = ("HD95", "ASSD")


def markdown_text(text: str) -> str:
    """Text of others, such as the name of a class, for a Markdown page or table: no HTML, no link, no end of a cell."""
    for mark, harmless in {"&": "&amp;", "<": "&lt;", "|": "\\|", "](": "]\\("}.items():
        text = text.replace(mark, harmless)
    return " ".join(text.splitlines())


def results_markdown(
    split: str,
    options: Options,
    scores: Mapping[str, Mapping[str, UnitScore]],
    comparisons: Mapping[str, Mapping[str, Any]],
) -> str:
    """Tables of the units of a task, of the classes of a unit, and of the differences; ``scores`` by model and unit."""
    note = "Means over the classes where they are defined; - is undefined, the reason stands in results.csv."
    note += " HD95 and ASSD are in pixels."
    if options.bootstraps:
        note += f" In brackets {100 * options.confidence:g} % intervals, {options.bootstraps} bootstraps over patients."
    parts = [f"# Results on the {split} split", note]
    by_unit: dict[str, dict[str, UnitScore]] = {}
    for model, units_of_model in scores.items():
        for unit, score in units_of_model.items():
            by_unit.setdefault(unit, {})[model] = score
    for task, metrics in METRICS.items():
        units = {unit: models for unit, models in by_unit.items() if unit.endswith(f"/{task}")}
        rows = [[unit, *row] for unit, models in units.items() for row in _rows(models, metrics)]
        if rows:
            parts += [f"## {TITLES[task]}", _table(["unit", "model", *metrics], rows)]
        for unit, models in units.items():
            prefix = f"{metrics[0]}/"
            estimates = next(iter(models.values())).estimates
            labels = [key.removeprefix(prefix) for key in estimates if key.startswith(prefix)]
            rows = [[label, *row] for label in labels for row in _rows(models, metrics, f"/{label}")]
            parts += [f"### {markdown_text(unit)}", _table(["class", "model", *metrics], rows)]
    if comparisons:
        parts += ["## Comparison of the models", _comparison_table(comparisons)]
    return "\n\n".join(parts) + "\n"


def _rows(models: Mapping[str, UnitScore], metrics: tuple[str, ...], suffix: str = "") -> list[list[str]]:
    """Model and cells, for every model that was scored on the unit."""
    return [
        [model, *(_cell(score.estimates.get(f"{metric}{suffix}"), metric) for metric in metrics)]
        for model, score in models.items()
    ]


def _comparison_table(comparisons: Mapping[str, Mapping[str, Any]]) -> str:
    rows = []
    for unit, comparison in comparisons.items():
        for metric in METRICS[unit.rpartition("/")[2]]:
            row = comparison["metrics"].get(metric, {"difference": None})
            value = None if row["difference"] is None else Estimate(row["difference"], row.get("low"), row.get("high"))
            p_value = f"{row['p_value']:.3f}" if "p_value" in row else "-"
            models = f"{comparison['first']} - {comparison['second']}"
            rows.append([unit, models, metric, _cell(value, metric), p_value])
    return _table(["unit", "models", "metric", "difference", "p (bootstrap)"], rows)


def _cell(estimate: Estimate | None, metric: str) -> str:
    if estimate is None or estimate.value is None:
        return "-"
    digits = 1 if metric in _LENGTHS else 3
    text = f"{estimate.value:.{digits}f}"
    return text if estimate.low is None else f"{text} [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"


def _table(headers: list[str], rows: list[list[str]]) -> str:
    escaped = [[markdown_text(cell) for cell in row] for row in rows]
    return tabulate(escaped, headers, tablefmt="github", disable_numparse=True)

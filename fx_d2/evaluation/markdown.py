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


def results_markdown(
    split: str,
    options: Options,
    scores: Mapping[str, Mapping[str, UnitScore]],
    comparisons: Mapping[str, Mapping[str, Any]] | None = None,
) -> str:
    """A table of the units for every task, one of the classes for every unit, one of the differences between models.

    Args:
        scores: by model, then by unit. comparisons: by unit, see ``RunScores``.
    """
    parts = [f"# Results on the {split} split", _note(options)]
    units = list(dict.fromkeys(unit for of_model in scores.values() for unit in of_model))
    for task, names in METRICS.items():
        mine = [unit for unit in units if unit.endswith(f"/{task}")]
        rows = [[unit, *row] for unit in mine for row in _rows(scores, unit, names, "")]
        if rows:
            parts += [f"## {TITLES[task]}", _table(["unit", "model", *names], rows)]
        for unit in mine:
            prefix = f"{names[0]}/"
            first = next(of_model[unit] for of_model in scores.values() if unit in of_model)
            labels = [key.removeprefix(prefix) for key in first.estimates if key.startswith(prefix)]
            rows = [[label, *row] for label in labels for row in _rows(scores, unit, names, f"/{label}")]
            parts += [f"### {unit}", _table(["class", "model", *names], rows)]
    if comparisons:
        parts += ["## Comparison of the models", _comparison_table(comparisons)]
    return "\n\n".join(parts) + "\n"


def _comparison_table(comparisons: Mapping[str, Mapping[str, Any]]) -> str:
    rows = []
    for unit, comparison in comparisons.items():
        for name in METRICS[unit.rpartition("/")[2]]:
            row = comparison["metrics"].get(name, {"difference": None})
            value = None if row["difference"] is None else Estimate(row["difference"], row.get("low"), row.get("high"))
            p_value = f"{row['p_value']:.3f}" if "p_value" in row else "-"
            rows.append([unit, f"{comparison['first']} - {comparison['second']}", name, _cell(value, name), p_value])
    return _table(["unit", "models", "metric", "difference", "p (bootstrap)"], rows)


def _note(options: Options) -> str:
    text = "Means over the classes where they are defined; - is undefined, the reason stands in results.csv."
    text += " HD95 and ASSD are in pixels."
    if options.bootstraps:
        text += f" In brackets {100 * options.confidence:g} % intervals, {options.bootstraps} bootstraps over patients."
    return text


def _rows(
    scores: Mapping[str, Mapping[str, UnitScore]], unit: str, names: tuple[str, ...], suffix: str
) -> list[list[str]]:
    """Model and cells, for every model that was scored on the unit."""
    return [
        [model, *(_cell(of_model[unit].estimates.get(f"{name}{suffix}"), name) for name in names)]
        for model, of_model in scores.items()
        if unit in of_model
    ]


def _cell(estimate: Estimate | None, name: str) -> str:
    if estimate is None or estimate.value is None:
        return "-"
    digits = 1 if name in _LENGTHS else 3
    text = f"{estimate.value:.{digits}f}"
    return text if estimate.low is None else f"{text} [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"


def _table(headers: list[str], rows: list[list[str]]) -> str:
    # A bar in the name of a class would end its cell.
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return tabulate(escaped, headers, tablefmt="github", disable_numparse=True)

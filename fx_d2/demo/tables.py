"""Rows of the page's tables: findings over all heads, anatomy, every score of every head, and the cardiothoracic ratio;
student beside teacher."""

from __future__ import annotations

from collections.abc import Mapping

from ..prediction import Prediction
from ..prediction.findings import Finding
from ..prediction.organs import is_anatomy

_WORDS = {True: "yes", False: "no", None: ""}


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def finding_rows(predictions: Mapping[str, Prediction]) -> list[dict]:
    """``finding``, ``heads`` (count), and for each model its ``{model}`` mean, ``{model}_range``, ``{model}_called``
    (``2 of 3``: heads that call it, of those with an operating point) and ``{model}_found`` (best box and mask
    scores). What no image-level head knows comes last; anatomy has a table of its own."""
    rows: dict[str, dict] = {}
    for model, prediction in predictions.items():
        findings = (finding for finding in prediction.findings if not _is_anatomy(finding))
        for finding in sorted(findings, key=lambda finding: not finding.count):
            row = rows.setdefault(finding.name, {"finding": finding.name, "heads": finding.count})
            row[model] = _number(finding.mean)
            spread = finding.count > 1
            row[f"{model}_range"] = f"{finding.low:.2f}\u00a0to\u00a0{finding.high:.2f}" if spread else ""
            row[f"{model}_called"] = f"{finding.called} of {len(finding.calls)}" if finding.calls else ""
            row[f"{model}_found"] = _located(finding)
    return list(rows.values())


def anatomy_rows(predictions: Mapping[str, Prediction]) -> list[dict]:
    """``structure``, and for each model (``{model}``) its best box and mask scores, of parts of the body."""
    rows: dict[str, dict] = {}
    for model, prediction in predictions.items():
        for finding in filter(_is_anatomy, prediction.findings):
            rows.setdefault(finding.name, {"structure": finding.name})[model] = _located(finding)
    return list(rows.values())


def _is_anatomy(finding: Finding) -> bool:
    """What an image-level head knows is a finding, whatever its name."""
    return not finding.count and is_anatomy(finding.name.partition(" (")[0])


def _located(finding: Finding) -> str:
    kinds = [("box", finding.boxes), ("mask", finding.masks)]
    # A line ends after a comma alone.
    return ", ".join(f"{kind}\u00a0{max(scores.values()):.2f}" for kind, scores in kinds if scores)


def ratio_rows(predictions: Mapping[str, Prediction]) -> list[dict]:
    """``unit``, and for each model its cardiothoracic ratio (``{model}``) and ``{model}_flags``, of every mask head
    that has a heart and lungs."""
    rows: dict[str, dict] = {}
    for model, prediction in predictions.items():
        for unit, measured in prediction.cardiothoracic.items():
            row = rows.setdefault(str(unit), {"unit": str(unit)})
            row[model] = _number(measured.ratio) or "not measured"
            row[f"{model}_flags"] = " ".join(measured.flags)
    return list(rows.values())


def score_rows(predictions: Mapping[str, Prediction]) -> list[dict]:
    """``unit``, ``class``, each model's score and ``{model}_called`` (``yes``, ``no``, or empty where no operating
    point can say), for every class of every image-level head."""
    rows: dict[tuple[str, str], dict] = {}
    for model, prediction in predictions.items():
        for unit in (unit for unit in prediction.outputs if unit.task == "cls"):
            calls = prediction.calls.get(unit, {})
            for label, score in prediction.scores(str(unit)).items():
                key = (str(unit), label)
                row = rows.setdefault(key, {"id": "/".join(key), "unit": str(unit), "class": label})
                row[model] = _number(score)
                row[f"{model}_called"] = _WORDS[calls.get(label)]
    return list(rows.values())

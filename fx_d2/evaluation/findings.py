"""Findings: area under the ROC curve, average precision, operating points, calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import binomtest
from sklearn.metrics import average_precision_score, confusion_matrix, roc_auc_score

from .bootstrap import add_intervals, bootstrap, mean_over_classes
from .calibration import expected_calibration_error, reliability
from .estimates import Estimate, UnitScore, mean_or_none, undefined, with_classes
from .finding_statistic import AREAS, RATES, FindingStatistic
from .operating import Thresholds, default_thresholds, known_labels
from .roc import delong_interval, roc_points
from .tables import FindingTable, Options, patients_of

Subsets = Mapping[str, Sequence[int]]
# The five findings of the CheXpert competition (Irvin et al., AAAI 2019), on which MIMIC-CXR results are given too.
_COMPETITION = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")
# Published means over some of a dataset's classes: dataset -> name -> classes.
SUBSETS = {"chexpert": {"CheXpert-5": _COMPETITION}, "mimic_cxr": {"MIMIC-5": _COMPETITION}}
_NO_LABEL, _NO_POSITIVE, _NO_NEGATIVE = (
    "no image has a known label",
    "no image has the finding",
    "no image is without the finding",
)
# Why a rate may be undefined.
_REASONS = {
    "Sensitivity": _NO_POSITIVE,
    "Specificity": _NO_NEGATIVE,
    "PPV": "the finding is called on no image",
    "NPV": "the finding is called on every image",
    "F1": _NO_POSITIVE,
}


def subsets_of(unit: str, classes: tuple[str, ...]) -> dict[str, list[int]]:
    """The subsets that are published for a unit (``dataset/task``): name -> positions of its classes.

    A subset of which some class is missing in ``classes`` is left out: its mean would not be the published one.
    """
    published = SUBSETS.get(unit.rpartition("/")[0], {})
    return {
        name: [classes.index(label) for label in labels]
        for name, labels in published.items()
        if set(labels) <= set(classes)
    }


def score_findings(
    table: FindingTable,
    options: Options | None = None,
    thresholds: Thresholds | None = None,
    subsets: Subsets | None = None,
) -> UnitScore:
    """``AUROC`` and ``AP`` per class over the images whose label is known, and their means.

    A class is defined where both outcomes occur; otherwise it is None and left out of the mean. NaN labels and soft
    labels (0 < y < 1: the reader was uncertain) are unknown here. Exclusive classes also get ``Accuracy``: the share
    of labelled images whose class has the highest score.

    Args:
        options: adds intervals, micro means, rates at the thresholds, calibration and curves.
        thresholds: operating points; None: 0.5.
        subsets: published means: name -> positions of the classes; ``AUROC_{name}``.
    """
    columns = [known_labels(table, index) for index in range(len(table.classes))]
    per_class = {
        "AUROC": [_score_class(roc_auc_score, y, s) for y, s in columns],
        "AP": [_score_class(average_precision_score, y, s) for y, s in columns],
    }
    score = UnitScore(with_classes(table.classes, per_class))
    for name, members in (subsets or {}).items():
        for metric in AREAS:
            values = [per_class[metric][index].value for index in members]
            mean = mean_or_none(values) if None not in values else None
            reason = None if mean is not None else "it is undefined for one of the classes"
            score.estimates[f"{metric}_{name}"] = Estimate(mean, reason=reason)
    if table.exclusive:
        score.estimates["Accuracy"] = _accuracy(table.labels, table.scores)
    if options is not None:
        chosen = thresholds or default_thresholds(table.classes, "no threshold was given")
        _add_all(score, table, columns, options, chosen, subsets or {})
    return score


def _score_class(metric, labels: np.ndarray, scores: np.ndarray) -> Estimate:
    """The metric of one class; None unless both outcomes occur."""
    if labels.all() or not labels.any():
        reason = _NO_LABEL if not len(labels) else _NO_NEGATIVE if labels.any() else _NO_POSITIVE
        return undefined(reason, len(labels))
    return Estimate(float(metric(labels, scores)), count=len(labels))


def _accuracy(labels: np.ndarray, scores: np.ndarray) -> Estimate:
    known = (labels == 1).any(axis=1)
    if not known.any():
        return undefined("no image is labelled", 0)
    hits = labels[known].argmax(axis=1) == scores[known].argmax(axis=1)
    return Estimate(float(hits.mean()), count=int(known.sum()))


def _add_all(score: UnitScore, table: FindingTable, columns, options: Options, thresholds, subsets: Subsets) -> None:
    statistic = FindingStatistic(table, thresholds)
    ones = np.ones((1, len(table.images)), np.int16)
    observed = dict(zip(statistic.names, statistic(ones)[0].tolist(), strict=True))
    _add_rates(score, table, observed, columns)
    score.estimates.update(with_classes(table.classes, {"ECE": [_calibration_error(y, s) for y, s in columns]}))
    patients = patients_of(table.images)
    drawn = bootstrap(statistic, patients, options)
    _add_intervals(score, table, dict(zip(statistic.names, drawn.T, strict=True)), options, subsets)
    confusion = statistic.confusion(ones)[0].astype(int).tolist()
    _add_closed_intervals(score, table, columns, confusion, options.confidence)
    score.extra.update(_extra(table, columns, thresholds, confusion))
    score.extra["patients"] = int(patients.max()) + 1


def _add_rates(score: UnitScore, table: FindingTable, observed: dict[str, float], columns) -> None:
    """Micro means of the areas; sensitivity and the like at the thresholds."""
    known = sum(len(y) for y, _ in columns)
    for metric in (*AREAS, "F1"):
        value = observed[f"{metric}_micro"]
        reason = "all known labels are alike" if metric in AREAS else _NO_POSITIVE
        score.estimates[f"{metric}_micro"] = _or_undefined(value, reason, known)
    per_class = {
        rate: [
            _or_undefined(observed[f"{rate}/{name}"], _REASONS[rate], len(columns[index][0]))
            for index, name in enumerate(table.classes)
        ]
        for rate in RATES
    }
    score.estimates.update(with_classes(table.classes, per_class))


def _or_undefined(value: float, reason: str, count: int) -> Estimate:
    if not np.isnan(value):
        return Estimate(value, count=count)
    return undefined(reason if count else _NO_LABEL, count)


def _calibration_error(labels: np.ndarray, scores: np.ndarray) -> Estimate:
    if not len(labels):
        return undefined(_NO_LABEL, 0)
    return Estimate(expected_calibration_error(reliability(labels, scores)), count=len(labels))


def _add_intervals(
    score: UnitScore, table: FindingTable, drawn: dict[str, np.ndarray], options: Options, subsets: Subsets
) -> None:
    """Bootstrap intervals of everything but the calibration error, whose replicates are biased."""
    estimates = score.estimates
    for metric in (*AREAS, *RATES):
        values = np.stack([drawn[f"{metric}/{name}"] for name in table.classes], axis=1)
        defined = np.array([estimates[f"{metric}/{name}"].value is not None for name in table.classes])
        drawn[metric] = mean_over_classes(values, defined)
        for name, members in subsets.items() if metric in AREAS else ():
            inside = np.isin(np.arange(len(defined)), members)
            drawn[f"{metric}_{name}"] = mean_over_classes(values, inside & defined)
    add_intervals(score, drawn, options.confidence)


def _add_closed_intervals(score: UnitScore, table: FindingTable, columns, confusion, confidence: float) -> None:
    """DeLong's interval of the area and Wilson's of the rates, beside the bootstrap's; they take images as independent.

    Wilson's (JASA 22, 1927) still says something where a rate is 0 or 1 and every replicate is alike.
    """
    for name, (labels, scores), (tp, fn, fp, tn) in zip(table.classes, columns, confusion, strict=True):
        key = f"AUROC/{name}"
        if score.metrics[key] is not None:
            interval = delong_interval(labels, scores, confidence)
            score.estimates[key] = score.estimates[key].with_interval("DeLong", interval)
        shares = {"Sensitivity": (tp, fn), "Specificity": (tn, fp), "PPV": (tp, fp), "NPV": (tn, fn)}
        for rate, (right, wrong) in shares.items():
            if right + wrong:
                found = binomtest(right, right + wrong).proportion_ci(confidence, "wilson")
                key = f"{rate}/{name}"
                score.estimates[key] = score.estimates[key].with_interval(
                    "Wilson", [float(found.low), float(found.high)]
                )


def _extra(table: FindingTable, columns, thresholds: Thresholds, confusion: list[list[int]]) -> dict[str, Any]:
    extra: dict[str, Any] = {"images": len(table.images), "labels": {}, "roc": {}, "reliability": {}}
    extra["operating_points"] = {}
    for name, (labels, scores), cells in zip(table.classes, columns, confusion, strict=True):
        positive = int(labels.sum())
        unknown = len(table.images) - len(labels)
        extra["labels"][name] = {"positive": positive, "negative": len(labels) - positive, "unknown": unknown}
        if 0 < positive < len(labels):
            extra["roc"][name] = roc_points(labels, scores)
        if len(labels):
            extra["reliability"][name] = reliability(labels, scores)
        counts = dict(zip(("tp", "fn", "fp", "tn"), cells, strict=True))
        extra["operating_points"][name] = {**thresholds[name], **counts}
    if table.exclusive:
        known = (table.labels == 1).any(axis=1)
        true, called = table.labels[known].argmax(axis=1), table.scores[known].argmax(axis=1)
        matrix = confusion_matrix(true, called, labels=range(len(table.classes)))
        extra["confusion"] = {"classes": list(table.classes), "rows_are": "truth", "counts": matrix.tolist()}
    return extra

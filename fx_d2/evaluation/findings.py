"""Findings: area under the ROC curve, average precision, operating points, calibration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy.stats import binomtest
from sklearn.metrics import average_precision_score, confusion_matrix, roc_auc_score

from .bootstrap import add_bootstrap_intervals
from .estimates import Estimate, UnitScore, mean_or_none
from .finding_statistic import AREAS, FindingStatistic
from .operating import Thresholds, default_thresholds, expected_calibration_error, reliability
from .roc import delong_interval, roc_points
from .tables import FindingTable, Options, patients_of

# The five findings of the CheXpert competition (Irvin et al., AAAI 2019), on which MIMIC-CXR results are given too.
_COMPETITION = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")
# Published means over some of a dataset's classes: dataset -> name -> classes.
SUBSETS = {"chexpert": {"CheXpert-5": _COMPETITION}, "mimic_cxr": {"MIMIC-5": _COMPETITION}}
_NO_LABEL = "no image has a known label"
_NO_POSITIVE = "no image has the finding"
_NO_NEGATIVE = "no image is without the finding"
# Rate at the operating point -> why it may be undefined.
_RATES = {
    "Sensitivity": _NO_POSITIVE,
    "Specificity": _NO_NEGATIVE,
    "PPV": "the finding is called on no image",
    "NPV": "the finding is called on every image",
    "F1": _NO_POSITIVE,
}


def subsets_of(unit: str, classes: tuple[str, ...]) -> dict[str, list[int]]:
    """The published subsets of a unit (``dataset/task``) that ``classes`` holds in full: name -> their positions."""
    published = SUBSETS.get(unit.rpartition("/")[0], {})
    return {
        name: [classes.index(label) for label in labels]
        for name, labels in published.items()
        if set(labels) <= set(classes)
    }


def score_findings(
    table: FindingTable, options: Options | None = None, thresholds: Thresholds | None = None, unit: str = ""
) -> UnitScore:
    """``AUROC`` and ``AP`` per class over the images whose label is known, and their means.

    A class is defined where both outcomes occur; otherwise it is None and left out of the mean. NaN labels and soft
    labels (0 < y < 1: the reader was uncertain) are unknown here. Exclusive classes also get ``Accuracy``: the share
    of labelled images whose class has the highest score.

    Args:
        options: adds intervals, micro means, rates at the thresholds, calibration and curves.
        thresholds: operating points; None: 0.5.
        unit: ``dataset/task``, for the published means over some classes (:data:`SUBSETS`), ``AUROC_{name}``.
    """
    columns = [table.known_labels(index) for index in range(len(table.classes))]
    subsets = subsets_of(unit, table.classes)
    per_class = {
        "AUROC": [_estimate_area(roc_auc_score, *column) for column in columns],
        "AP": [_estimate_area(average_precision_score, *column) for column in columns],
    }
    score = UnitScore(table.classes)
    score.add(per_class)
    for name, members in subsets.items():
        for metric in AREAS:
            values = [per_class[metric][index].value for index in members]
            mean = None if None in values else mean_or_none(values)
            score.estimates[f"{metric}_{name}"] = Estimate.of(mean, "it is undefined for one of the classes")
    if table.exclusive:
        labelled = (table.labels == 1).any(axis=1)
        true, predicted = (table.labels[labelled] == 1).argmax(axis=1), table.scores[labelled].argmax(axis=1)
        accuracy = (true == predicted).mean() if len(true) else None
        score.estimates["Accuracy"] = Estimate.of(accuracy, "no image is labelled", len(true))
        matrix = confusion_matrix(true, predicted, labels=range(len(table.classes)))
        score.details["confusion"] = {"classes": list(table.classes), "rows_are": "truth", "counts": matrix.tolist()}
    if options is not None:
        thresholds = thresholds or default_thresholds(table.classes, "no threshold was given")
        statistic, patients = FindingStatistic(table, thresholds), patients_of(table.images)
        ones = np.ones((1, len(patients)), np.int16)
        score.details.update(images=len(patients), patients=int(patients.max()) + 1)
        _add_rates(score, dict(zip(statistic.names, statistic(ones)[0].tolist(), strict=True)), columns)
        _add_curves(score, columns, len(patients), options.confidence)
        _add_operating_points(score, statistic.confusion(ones)[0], thresholds, options.confidence)
        add_bootstrap_intervals(score, statistic, patients, options, subsets)
    return score


def _estimate_area(metric: Callable[..., float], labels: np.ndarray, scores: np.ndarray) -> Estimate:
    """The metric of one class; undefined unless both outcomes occur."""
    value = metric(labels, scores) if labels.any() and not labels.all() else None
    reason = _NO_LABEL if not len(labels) else _NO_NEGATIVE if labels.any() else _NO_POSITIVE
    return Estimate.of(value, reason, len(labels))


def _add_rates(score: UnitScore, values: dict[str, float], columns: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """Micro means; sensitivity and the like at the thresholds."""
    counts = [len(labels) for labels, _ in columns]

    def estimate(name: str, reason: str, count: int) -> Estimate:
        return Estimate.of(values[name], reason if count else _NO_LABEL, count)

    for metric in (*AREAS, "F1"):
        reason = "all known labels are alike" if metric in AREAS else _NO_POSITIVE
        score.estimates[f"{metric}_micro"] = estimate(f"{metric}_micro", reason, sum(counts))
    per_class = {
        rate: [estimate(f"{rate}/{name}", reason, count) for name, count in zip(score.classes, counts, strict=True)]
        for rate, reason in _RATES.items()
    }
    score.add(per_class)


def _add_curves(score: UnitScore, columns: list[tuple[np.ndarray, np.ndarray]], images: int, confidence: float) -> None:
    """Calibration error, reliability and ROC curves, counts of labels, DeLong's intervals of the areas."""
    errors: list[Estimate] = []
    counts, roc, curves = (score.details.setdefault(key, {}) for key in ("labels", "roc", "reliability"))
    for name, (labels, scores) in zip(score.classes, columns, strict=True):
        positive, negative = int(labels.sum()), int((~labels).sum())
        counts[name] = {"positive": positive, "negative": negative, "unknown": images - len(labels)}
        curve = reliability(labels, scores)
        errors.append(Estimate.of(expected_calibration_error(curve), _NO_LABEL, len(labels)))
        if len(labels):
            curves[name] = curve
        if positive and negative:
            roc[name] = roc_points(labels, scores)
            _add_analytic(score, f"AUROC/{name}", "DeLong", delong_interval(labels, scores, confidence))
    score.add({"ECE": errors})


def _add_operating_points(score: UnitScore, confusion: np.ndarray, thresholds: Thresholds, confidence: float) -> None:
    """The counts at the thresholds, and Wilson's intervals of the rates (JASA 22, 1927), which take images as
    independent, but still say something where a rate is 0 or 1 and every replicate is alike.
    """
    points = score.details["operating_points"] = {}
    for name, (tp, fn, fp, tn) in zip(score.classes, confusion.astype(int).tolist(), strict=True):
        points[name] = {**thresholds[name], "tp": tp, "fn": fn, "fp": fp, "tn": tn}
        rates = {"Sensitivity": (tp, fn), "Specificity": (tn, fp), "PPV": (tp, fp), "NPV": (tn, fn)}
        for rate, (successes, failures) in rates.items():
            if successes + failures:
                interval = binomtest(successes, successes + failures).proportion_ci(confidence, "wilson")
                _add_analytic(score, f"{rate}/{name}", "Wilson", [float(interval.low), float(interval.high)])


def _add_analytic(score: UnitScore, metric: str, method: str, interval: list[float] | None) -> None:
    if interval is not None:
        score.estimates[metric] = replace(score.estimates[metric], analytic={method: interval})

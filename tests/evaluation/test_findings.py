"""The full evaluation of findings against scikit-learn and slow bootstraps."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, f1_score, precision_score, recall_score, roc_auc_score

from fx_d2.evaluation.findings import score_findings, subsets_of
from fx_d2.evaluation.tables import Options, patients_of
from tests.evaluation.cases import finding_table

NAN = float("nan")
OPTIONS = Options(bootstraps=40, seed=5)


@pytest.fixture
def table():
    rng = np.random.default_rng(1)
    labels = rng.choice([0.0, 1.0, NAN, 0.4], size=(80, 3), p=[0.5, 0.3, 0.15, 0.05])
    scores = np.round(np.clip(0.3 * np.nan_to_num(labels) + rng.random((80, 3)) * 0.7, 0, 1), 2)
    return finding_table(labels, scores, [f"p{n // 3}" if n % 3 else None for n in range(80)])


def test_rates_at_thresholds(table):
    thresholds = {name: {"threshold": cut, "source": "hand"} for name, cut in zip("abc", (0.3, 0.5, 0.41), strict=True)}
    score = score_findings(table, OPTIONS, thresholds)
    pooled = []
    for index, name in enumerate("abc"):
        known = np.isin(table.labels[:, index], (0, 1))
        truth = table.labels[known, index] == 1
        called = table.scores[known, index] >= thresholds[name]["threshold"]
        expected = {
            "Sensitivity": recall_score(truth, called),
            "Specificity": recall_score(~truth, ~called),
            "PPV": precision_score(truth, called),
            "NPV": precision_score(~truth, ~called),
            "F1": f1_score(truth, called),
        }
        for metric, value in expected.items():
            assert score.metrics[f"{metric}/{name}"] == pytest.approx(value), metric
        tn, fp, fn, tp = confusion_matrix(truth, called).ravel()
        point = score.details["operating_points"][name]
        assert (point["tp"], point["fn"], point["fp"], point["tn"]) == (tp, fn, fp, tn)
        assert point["threshold"] == thresholds[name]["threshold"] and point["source"] == "hand"
        pooled.append((truth, called, table.scores[known, index]))
    truth, called, scores = (np.concatenate(parts) for parts in zip(*pooled, strict=True))
    assert score.metrics["F1_micro"] == pytest.approx(f1_score(truth, called))
    assert score.metrics["AUROC_micro"] == pytest.approx(roc_auc_score(truth, scores))
    assert score.metrics["F1"] == pytest.approx(np.mean([score.metrics[f"F1/{name}"] for name in "abc"]))


def test_intervals_are_those_of_a_loop_over_drawn_patients(table):
    """Every replicate copies the images of the patients drawn and scores the copy."""
    from fx_d2.evaluation.bootstrap import replicates

    score = score_findings(table, OPTIONS)
    drawn = {"AUROC/a": [], "F1/b": [], "AUROC": [], "Sensitivity": []}
    for weights in np.concatenate(list(replicates(patients_of(table.images), 40, 5))):
        copies = np.repeat(np.arange(80), weights)
        copy = finding_table(table.labels[copies], table.scores[copies])
        metrics = score_findings(copy, Options(bootstraps=0)).metrics
        for name, values in drawn.items():
            values.append(metrics[name])
    for name, values in drawn.items():
        estimate = score.estimates[name]
        assert [estimate.low, estimate.high] == pytest.approx(np.quantile(values, [0.025, 0.975])), name
        assert estimate.low <= estimate.value <= estimate.high
        assert estimate.method == "bootstrap over patients"
    assert score.details["patients"] == len(set(patients_of(table.images)))
    low, high = score.estimates["AUROC/a"].analytic["DeLong"]
    assert low < score.metrics["AUROC/a"] < high and score.estimates["ECE/a"].low is None


def test_every_undefined_value_has_a_reason():
    #         both, only 0, only 1, unknown, only soft beside a 0
    labels = [[1, 0, 1, NAN, 0.5], [0, 0, 1, NAN, 0]]
    score = score_findings(finding_table(labels, [[0.9] * 5, [0.1] * 5]), OPTIONS)
    assert score.estimates["AUROC/b"].reason == "no image has the finding"
    assert score.estimates["AUROC/c"].reason == "no image is without the finding"
    assert score.estimates["AP/d"].reason == "no image has a known label"
    assert score.estimates["Sensitivity/b"].reason == "no image has the finding"
    assert score.metrics["Sensitivity/c"] == 0.5 and score.metrics["Specificity/b"] == 0.5
    assert score.estimates["PPV/e"].reason == "the finding is called on no image"
    assert score.metrics["ECE/d"] is None and score.metrics["AUROC"] == 1.0
    assert all((e.value is None) == (e.reason is not None) for e in score.estimates.values())
    nothing = score_findings(finding_table([[NAN]], [[0.5]]), OPTIONS)
    assert set(nothing.metrics.values()) == {None}


def test_exclusive_classes():
    labels = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1], [NAN] * 3]
    scores = [[0.6, 0.3, 0.1], [0.5, 0.4, 0.1], [0.1, 0.2, 0.7], [0.3, 0.6, 0.1], [0.9, 0.1, 0.0]]
    score = score_findings(finding_table(labels, scores, exclusive=True), OPTIONS)
    assert score.metrics["Accuracy"] == 0.5 and score.estimates["Accuracy"].low is not None
    assert score.details["confusion"]["counts"] == [[1, 0, 0], [1, 0, 0], [0, 1, 1]]
    labels[0][1] = labels[2][0] = NAN  # a blank beside the positive label
    partial = score_findings(finding_table(labels, scores, exclusive=True), OPTIONS)
    assert partial.estimates["Accuracy"] == score.estimates["Accuracy"]
    assert partial.details["confusion"] == score.details["confusion"]


def test_published_subsets():
    classes = ("Edema", "Pleural Effusion", "Mass", "Consolidation", "Cardiomegaly", "Atelectasis")
    assert subsets_of("chexpert/cls", classes) == {"CheXpert-5": [5, 4, 3, 0, 1]}
    assert list(subsets_of("mimic_cxr/cls", classes)) == ["MIMIC-5"]
    assert subsets_of("nih_cxr14/cls", classes) == {} and subsets_of("chexpert/cls", classes[1:]) == {}
    rng = np.random.default_rng(0)
    table = replace(finding_table(rng.integers(0, 2, (30, 6)), rng.random((30, 6))), classes=classes)
    score = score_findings(table, OPTIONS, unit="chexpert/cls")
    five = [score.metrics[f"AUROC/{name}"] for name in classes if name != "Mass"]
    assert score.metrics["AUROC_CheXpert-5"] == pytest.approx(np.mean(five))
    assert score.estimates["AUROC_CheXpert-5"].low < np.mean(five) < score.estimates["AUROC_CheXpert-5"].high
    table.labels[:, 0] = 0
    assert score_findings(table, unit="chexpert/cls").estimates["AP_CheXpert-5"].reason


def test_no_bootstrap_keeps_delong(table):
    score = score_findings(table, Options(bootstraps=0))
    estimate = score.estimates["AUROC/a"]
    assert estimate.low is None and "DeLong" in estimate.analytic


def test_wilson_beside_the_rates():
    """From the formula (Wilson, JASA 22, 1927): it says something where no replicate differs."""
    score = score_findings(finding_table([[1], [1], [1], [0], [0]], [[0.9], [0.8], [0.7], [0.6], [0.1]]), OPTIONS)
    estimate, z, n, p = score.estimates["Sensitivity/a"], 1.959963984540054, 3, 1.0
    assert (estimate.value, estimate.low, estimate.high) == (1.0, 1.0, 1.0)
    middle, reach = p + z**2 / (2 * n), z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    expected = [(middle - reach) / (1 + z**2 / n), (middle + reach) / (1 + z**2 / n)]
    assert estimate.analytic["Wilson"] == pytest.approx(expected)
    assert set(score.estimates["Specificity/a"].analytic) == {"Wilson"}

"""AUROC and AP against pairwise and literal loops."""

import math

import numpy as np
import pytest
import torch

from fx_d2.evaluation import ClassificationEvaluator

NAN = float("nan")


def evaluate(labels, scores, exclusive=False):
    classes = [f"c{k}" for k in range(len(labels[0]))]
    records = [{"image_id": str(i), "unit": "toy/cls", "labels": row} for i, row in enumerate(labels)]
    evaluator = ClassificationEvaluator(records, classes, exclusive=exclusive)
    outputs = [{"scores": torch.tensor(row, dtype=torch.float32)} for row in scores]
    evaluator.process(records, outputs)
    return evaluator.evaluate()["cls"]


def pairwise_auroc(labels, scores):
    wins = [
        1.0 if a > b else 0.5 if a == b else 0.0
        for y, a in zip(labels, scores, strict=True)
        if y == 1
        for z, b in zip(labels, scores, strict=True)
        if z == 0
    ]
    return sum(wins) / len(wins) if wins else None


def literal_ap(labels, scores):
    """Sum over thresholds of precision times the gain in recall; ties share a threshold."""
    known = [(s, y) for y, s in zip(labels, scores, strict=True) if y in (0, 1)]
    positives = sum(y for _, y in known)
    total, recall = 0.0, 0.0
    for threshold in sorted({s for s, _ in known}, reverse=True):
        taken = [y for s, y in known if s >= threshold]
        now = sum(taken) / positives
        total += (now - recall) * sum(taken) / len(taken)
        recall = now
    return total


def test_against_loops_with_unknown_and_soft_labels():
    rng = np.random.default_rng(0)
    labels = rng.choice([0.0, 1.0, NAN, 0.3], size=(60, 3), p=[0.4, 0.3, 0.2, 0.1])
    scores = rng.integers(0, 12, size=(60, 3)) / 16  # exact in float32, with ties
    metrics = evaluate(labels.tolist(), scores.tolist())
    aurocs = [pairwise_auroc(labels[:, k], scores[:, k]) for k in range(3)]
    aps = [literal_ap(labels[:, k], scores[:, k]) for k in range(3)]
    for k in range(3):
        assert metrics[f"AUROC/c{k}"] == pytest.approx(aurocs[k], abs=1e-12)
        assert metrics[f"AP/c{k}"] == pytest.approx(aps[k], abs=1e-12)
    assert metrics["AUROC"] == pytest.approx(sum(aurocs) / 3)
    assert metrics["AP"] == pytest.approx(sum(aps) / 3)
    assert "Accuracy" not in metrics


def test_undefined_classes_are_none_and_leave_the_mean():
    #          both        only 0  only 1  unknown  only soft beside a 0
    labels = [[1.0, 0.0, 1.0, NAN, 0.5], [0.0, 0.0, 1.0, NAN, 0.0]]
    metrics = evaluate(labels, [[0.9] * 5, [0.1] * 5])
    assert metrics["AUROC/c0"] == metrics["AP/c0"] == metrics["AUROC"] == metrics["AP"] == 1.0
    assert all(metrics[f"{name}/c{k}"] is None for name in ("AUROC", "AP") for k in (1, 2, 3, 4))
    nothing = evaluate([[0.0], [0.0]], [[0.1], [0.2]])
    assert nothing == {"AUROC": None, "AP": None, "AUROC/c0": None, "AP/c0": None}


def test_accuracy_of_exclusive_classes_skips_unlabelled_images():
    labels = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [NAN] * 3]
    scores = [[0.6, 0.3, 0.1], [0.5, 0.4, 0.1], [0.1, 0.2, 0.7], [0.9, 0.1, 0.0]]
    assert evaluate(labels, scores, exclusive=True)["Accuracy"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(("scores", "message"), [([math.nan, 0.1], "'a'.*not finite"), ([0.1], r"'a'.*2 classes")])
def test_malformed_scores_name_the_image(scores, message):
    record = {"image_id": "a", "unit": "toy/cls", "labels": [0.0, 1.0]}
    evaluator = ClassificationEvaluator([record], ["x", "y"])
    with pytest.raises(ValueError, match=message):
        evaluator.process([record], [{"scores": torch.tensor(scores)}])

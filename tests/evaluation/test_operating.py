"""Operating points by trying every threshold; calibration by loops and scikit-learn."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import f1_score

from fx_d2.evaluation.operating import choose_thresholds, expected_calibration_error, reliability
from tests.evaluation.cases import finding_table


@pytest.mark.parametrize("criterion", ["youden", "f1"])
def test_the_best_of_all_thresholds(criterion):
    rng = np.random.default_rng(7)
    labels = (rng.random((50, 3)) < 0.4).astype(float)
    labels[rng.random((50, 3)) < 0.1] = np.nan
    scores = np.round(labels * 0.3 + rng.random((50, 3)), 1) / 2
    scores = np.nan_to_num(scores, nan=0.95)  # what is unknown must not count
    chosen = choose_thresholds(finding_table(labels, scores), criterion, "val")
    for index in range(3):
        known = ~np.isnan(labels[:, index])
        truth, score = labels[known, index] == 1, scores[known, index]
        qualities = {}
        for threshold in np.unique(score):
            called = score >= threshold
            youden = called[truth].mean() - called[~truth].mean()
            qualities[threshold] = f1_score(truth, called) if criterion == "f1" else youden
        best = max(qualities.values())
        expected = max(t for t, quality in qualities.items() if quality >= best - 1e-12)
        assert chosen["abc"[index]] == {"threshold": expected, "source": f"{criterion} on the val split"}


def test_validation_that_cannot_say():
    labels = [[1, 0, np.nan], [1, 0, 0.5]]
    chosen = choose_thresholds(finding_table(labels, np.full((2, 3), 0.9)), "youden", "val")
    assert {point["threshold"] for point in chosen.values()} == {0.5}
    assert chosen["a"]["source"] == "default: no val image without the finding"
    assert chosen["b"]["source"] == chosen["c"]["source"] == "default: no val image with the finding"
    with pytest.raises(ValueError, match="unknown criterion 'best'.*youden, f1"):
        choose_thresholds(finding_table(labels, np.full((2, 3), 0.9)), "best", "val")


def test_calibration_against_a_loop_and_scikit_learn():
    rng = np.random.default_rng(3)
    scores = rng.random(300) ** 2
    labels = rng.random(300) < scores * 0.8
    scores[:3] = [0.0, 1.0, 0.2]  # edges of bins
    curve = reliability(labels, scores, bins=10)
    error = 0.0
    for low in np.arange(10) / 10:
        inside = [i for i, s in enumerate(scores) if low < s <= low + 0.1 + 1e-12 or (low == 0 and s == 0)]
        if inside:
            mean = sum(scores[i] for i in inside) / len(inside)
            error += len(inside) / 300 * abs(mean - sum(labels[i] for i in inside) / len(inside))
    assert expected_calibration_error(curve) == pytest.approx(error)
    frequency, score = calibration_curve(labels[3:], scores[3:], n_bins=10)
    inner = reliability(labels[3:], scores[3:], bins=10)
    np.testing.assert_allclose(inner["frequency"], frequency)
    np.testing.assert_allclose(inner["score"], score)
    assert sum(curve["count"]) == 300


def test_known_calibration():
    # Two bins: ten images at 0.95, all positive; ten at 0.25, five positive. (10 * 0.05 + 10 * 0.25) / 20.
    labels = np.array([True] * 15 + [False] * 5)
    scores = np.array([0.95] * 10 + [0.25] * 10)
    assert expected_calibration_error(reliability(labels, scores)) == pytest.approx(0.15)
    with pytest.raises(ValueError, match="scores in 0..1"):
        reliability(labels, scores * 2)

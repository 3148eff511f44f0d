"""Areas, DeLong and weighted areas against pair-by-pair sums and scikit-learn."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from fx_d2.evaluation.bootstrap import replicates
from fx_d2.evaluation.roc import RankedScores, delong, delong_interval, delong_p, roc_points


def draw(seed, images=60, levels=9):
    """Labels and two models' scores with many ties."""
    rng = np.random.default_rng(seed)
    labels = rng.random(images) < 0.3
    labels[:4] = [True, True, False, False]
    signal = labels + rng.normal(size=(2, images))
    return labels, np.round(signal * levels / 4) / levels


def literal_delong(labels, scores):
    """Areas and covariance from the definition: structural components by comparing every pair."""

    def beats(a, b):
        return 1.0 if a > b else 0.5 if a == b else 0.0

    positives, negatives = np.flatnonzero(labels), np.flatnonzero(~labels)
    v10 = [[np.mean([beats(row[i], row[j]) for j in negatives]) for i in positives] for row in scores]
    v01 = [[np.mean([beats(row[i], row[j]) for i in positives]) for j in negatives] for row in scores]
    areas = [float(np.mean(row)) for row in v10]
    covariance = np.zeros((len(scores), len(scores)))
    for r in range(len(scores)):
        for s in range(len(scores)):
            for parts in (v10, v01):
                total = sum((a - areas[r]) * (b - areas[s]) for a, b in zip(parts[r], parts[s], strict=True)) / (
                    len(parts[r]) - 1
                )
                covariance[r, s] += total / len(parts[r])
    return areas, covariance


@pytest.mark.parametrize("seed", range(3))
def test_delong_from_the_definition(seed):
    labels, scores = draw(seed)
    areas, covariance = delong(labels, scores)
    expected, expected_covariance = literal_delong(labels, scores)
    np.testing.assert_allclose(areas, expected, atol=1e-12)
    np.testing.assert_allclose(covariance, expected_covariance, atol=1e-12)
    assert areas[0] == pytest.approx(roc_auc_score(labels, scores[0]))

    low, high = delong_interval(labels, scores[0], 0.9)
    assert high - low == pytest.approx(2 * 1.6448536269514722 * np.sqrt(expected_covariance[0, 0]))
    difference = expected[0] - expected[1]
    variance = expected_covariance[0, 0] + expected_covariance[1, 1] - 2 * expected_covariance[0, 1]
    z = abs(difference) / np.sqrt(variance)
    assert delong_p(labels, scores[0], scores[1]) == pytest.approx(2 * (1 - norm.cdf(z)))


def test_delong_at_the_edges():
    labels = np.array([True, True, False, False])
    perfect, same = np.array([0.9, 0.8, 0.2, 0.1]), np.array([0.7, 0.6, 0.5, 0.4])
    assert delong_interval(labels, perfect, 0.95) == [1.0, 1.0]
    assert delong_p(labels, perfect, same) == 1.0  # the same ranks
    assert delong_p(labels, perfect, 1 - perfect) == 0.0
    one = np.array([True, False, False, False])
    assert delong_interval(one, perfect, 0.95) is None and delong_p(one, perfect, same) is None
    # An interval that would pass 1 ends there.
    noisy = np.array([0.9, 0.45, 0.5, 0.1])
    assert delong_interval(labels, noisy, 0.95)[1] == 1.0


@pytest.mark.parametrize("seed", range(4))
def test_weighted_areas_are_those_of_scikit_learn(seed):
    labels, scores = draw(seed, images=40)
    columns = np.random.default_rng(seed).permutation(50)[:40]  # ten images have no known label
    ranked = RankedScores(labels, scores[0], columns)
    weights = np.random.default_rng(seed + 10).integers(0, 4, size=(6, 50)).astype(np.int16)
    for row, (auroc, ap) in zip(weights, ranked.areas(weights), strict=True):
        assert auroc == pytest.approx(roc_auc_score(labels, scores[0], sample_weight=row[columns]), abs=1e-12)
        assert ap == pytest.approx(average_precision_score(labels, scores[0], sample_weight=row[columns]), abs=1e-12)


def test_areas_are_undefined_where_a_replicate_lacks_an_outcome():
    labels, scores = np.array([True, False, False]), np.array([0.5, 0.4, 0.6])
    ranked = RankedScores(labels, scores, np.arange(3))
    values = ranked.areas(np.array([[1, 1, 1], [0, 1, 2], [3, 0, 0]], np.int16))
    np.testing.assert_array_equal(np.isnan(values), [[False, False], [True, True], [True, True]])
    assert values[0].tolist() == [0.5, 0.5]


def test_replicates_draw_patients_with_all_their_images():
    patients = np.array([0, 1, 0, 2, 1, 0])
    weights = np.concatenate(list(replicates(patients, 400, seed=3)))
    assert weights.shape == (400, 6)
    np.testing.assert_array_equal(weights[:, [0, 0, 1]], weights[:, [2, 5, 4]])
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()  # three patients are drawn each time
    assert weights.mean() == pytest.approx(1, abs=0.1)
    again = np.concatenate(list(replicates(patients, 400, seed=3)))
    np.testing.assert_array_equal(weights, again)
    assert (weights != np.concatenate(list(replicates(patients, 400, seed=4)))).any()


def test_curves_are_those_of_scikit_learn():
    labels, scores = draw(5)
    fpr, tpr, thresholds = roc_curve(labels, scores[0], drop_intermediate=False)
    points = roc_points(labels, scores[0])
    np.testing.assert_allclose(points["fpr"], fpr[1:])
    np.testing.assert_allclose(points["tpr"], tpr[1:])
    np.testing.assert_allclose(points["threshold"], thresholds[1:])
    thin = roc_points(labels, scores[0] + np.arange(60) * 1e-6, limit=10)
    assert len(thin["fpr"]) <= 10 and thin["fpr"][-1] == thin["tpr"][-1] == 1.0

"""Paired differences against SciPy's tests, Holm's correction and verdicts by hand."""

import numpy as np
import pytest
from scipy import stats

from fx_d2.ablation.statistics import HOLDS, REFUTED, UNDECIDED, holm, paired_difference, seeds_needed, verdict


def test_interval_and_p_value_are_those_of_a_paired_t_test():
    first, second = np.array([0.71, 0.68, 0.75, 0.70]), np.array([0.66, 0.69, 0.70, 0.65])
    found = paired_difference(first - second)
    expected = stats.ttest_rel(first, second)
    interval = expected.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.p_value == pytest.approx(expected.pvalue)
    assert found.mean == pytest.approx(0.035) and found.visible == pytest.approx((interval.high - interval.low) / 2)
    against = paired_difference(first - second, threshold=-0.02)
    assert against.p_value == pytest.approx(stats.ttest_1samp(first - second, -0.02).pvalue)


def test_one_seed_and_no_spread():
    assert paired_difference([0.3]).low is None and paired_difference([0.3]).p_value is None
    assert paired_difference([0.2, 0.2]).p_value == 0 and paired_difference([0.0, 0.0]).p_value == 1


def test_holm_by_hand():
    """Sorted .01 .02 .03 .04 times 4 3 2 1: .04 .06 .06 .04, made monotone; an unknown one does not count."""
    assert holm([0.03, None, 0.01, 0.04, 0.02]) == pytest.approx([0.06, None, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0] and holm([None]) == [None]


@pytest.mark.parametrize(
    ("values", "adjusted", "at_least", "margin", "expected"),
    [
        ([0.05, 0.06, 0.055], 0.01, 0.0, 0.01, HOLDS),
        ([0.05, 0.06, 0.055], 0.20, 0.0, 0.01, UNDECIDED),  # not after the correction
        ([-0.05, -0.06, -0.055], 0.01, 0.0, 0.01, REFUTED),
        ([0.001, 0.002, 0.0015], 0.20, 0.0, 0.01, REFUTED),  # surely a gain of less than .01
        ([-0.1, 0.2, 0.05], 0.60, 0.0, 0.01, UNDECIDED),
        ([-0.005, -0.004, -0.006], 0.01, -0.02, 0.0, HOLDS),  # loses no more than .02
        ([-0.05, -0.04, -0.06], 0.02, -0.02, 0.0, REFUTED),
        ([0.2], None, 0.0, 0.01, UNDECIDED),
    ],
)
def test_verdicts(values, adjusted, at_least, margin, expected):
    assert verdict(paired_difference(values, at_least), adjusted, at_least, margin) == expected


def test_seeds_that_would_show_an_effect():
    d = paired_difference([-0.079, -0.059, 0.087, 0.038])
    n, spread = seeds_needed(d, 0.02), np.std(d.values, ddof=1)
    assert stats.t.ppf(0.975, n - 1) * spread / n**0.5 <= 0.02 < stats.t.ppf(0.975, n - 2) * spread / (n - 1) ** 0.5
    assert seeds_needed(paired_difference([0.1]), 0.02) is None

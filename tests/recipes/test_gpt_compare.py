"""The statistics of paired runs, against cases worked by hand and against scipy."""

from math import sqrt

import numpy as np
import pytest
from gpt.verification.compare import compare, sample
from scipy import stats

BASELINE = (10.0, 12.0, 14.0)
TREATMENT = (9.0, 10.0, 14.0)  # differences -1, -2, 0


def test_a_case_worked_by_hand() -> None:
    found = compare(BASELINE, TREATMENT)
    assert found.difference == -1.0
    assert found.spread == 1.0
    assert found.change_percent == pytest.approx(-100 / 12)
    assert found.better == 2
    # t = -1 / (1 / sqrt(3)); with two degrees of freedom p = 1 - |t| / sqrt(2 + t^2), and t(0.975) = 4.30265.
    t = sqrt(3)
    assert found.paired_t_p == pytest.approx(1 - t / sqrt(2 + t**2))
    assert found.interval == pytest.approx((-1 - 4.302653 / sqrt(3), -1 + 4.302653 / sqrt(3)), abs=1e-6)
    # One tie left out, two of two better: 2 * (1/2)^2.
    assert found.sign_p == 0.5
    # Variances 4 and 7: pooled 5.5; Welch has t = -1 / sqrt(11/3) and 4 (11)^2 / (2 * 65) degrees of freedom.
    assert found.cohens_d == pytest.approx(-1 / sqrt(5.5))
    degrees = (11 / 3) ** 2 / ((4 / 3) ** 2 / 2 + (7 / 3) ** 2 / 2)
    assert found.welch_p == pytest.approx(2 * stats.t.sf(1 / sqrt(11 / 3), degrees))


@pytest.mark.parametrize("seeds", [2, 3, 5, 12])
def test_equal_to_scipy(seeds: int) -> None:
    random = np.random.default_rng(seeds)
    baseline, treatment = random.normal(2.0, 0.1, seeds), random.normal(1.9, 0.05, seeds)
    found = compare(baseline.tolist(), treatment.tolist())
    paired = stats.ttest_1samp(treatment - baseline, 0.0)
    assert found.paired_t_p == pytest.approx(paired.pvalue)
    assert found.interval == pytest.approx(tuple(paired.confidence_interval(0.95)))
    assert found.welch_p == pytest.approx(stats.ttest_ind(treatment, baseline, equal_var=False).pvalue)
    assert found.sign_p == pytest.approx(stats.binomtest(int((treatment < baseline).sum()), seeds).pvalue)
    pooled = np.sqrt((baseline.var(ddof=1) + treatment.var(ddof=1)) / 2)
    assert found.cohens_d == pytest.approx((treatment - baseline).mean() / pooled)
    assert sample(baseline.tolist()).spread == pytest.approx(baseline.std(ddof=1))


def test_what_so_few_seeds_cannot_say_is_left_out() -> None:
    one = compare([2.0], [1.0])
    assert (one.difference, one.better) == (-1.0, 1)
    assert (one.spread, one.interval, one.paired_t_p, one.welch_p, one.cohens_d) == (None,) * 5
    same = compare([1.0, 1.0], [1.0, 1.0])
    assert (same.difference, same.interval, same.paired_t_p, same.sign_p, same.welch_p) == (
        0.0,
        None,
        None,
        None,
        None,
    )
    shifted = compare(
        [1.0, 2.0], [0.5, 1.5]
    )  # differences without a spread: no test has anything to divide by
    assert (shifted.paired_t_p, shifted.interval) == (None, None)
    assert shifted.cohens_d == pytest.approx(-0.5 / sqrt(0.5))


def test_the_study_calls_cohens_d_sigma() -> None:
    """Its figures for text8, 1.473 ± 0.005 and 1.293 ± 0.003, are 38.8 pooled deviations apart, not standard errors.

    Its ± is the deviation of the five seeds themselves (n, not n - 1): with that the rounded figures give 39.0.
    """
    to_sample = sqrt(5 / 4)
    pooled = to_sample * sqrt((0.005**2 + 0.003**2) / 2)
    assert (1.473 - 1.293) / pooled == pytest.approx(38.8, rel=0.02)

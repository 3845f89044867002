"""Statistics of paired losses: what a treatment changes, and how sure that is."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, sqrt

from scipy import stats

LEVEL = 0.95


@dataclass(frozen=True)
class Sample:
    """Losses of one arm.

    Args:
        mean: of the seeds.
        spread: sample standard deviation (n - 1); None of one seed.
        values: one for each seed.
    """

    mean: float
    spread: float | None
    values: tuple[float, ...]


@dataclass(frozen=True)
class Comparison:
    """What a treatment changes against a baseline; None where the seeds are too few, or all differences equal.

    Args:
        difference: mean of treatment - baseline, seed by seed; below 0 the treatment is better.
        spread: sample standard deviation of the differences.
        interval: the interval that holds the true difference with 95 % confidence (Student's t, paired).
        change_percent: the difference in percent of the baseline's mean.
        paired_t_p: p of the paired t-test.
        sign_p: p of the exact sign test; ties are left out.
        better: how many seeds the treatment is better with.
        welch_p: p of Welch's t-test, which ignores the pairs.
        cohens_d: difference / the pooled standard deviation of the arms: an effect size, which says nothing about how
            sure the difference is.
    """

    difference: float
    spread: float | None
    interval: tuple[float, float] | None
    change_percent: float
    paired_t_p: float | None
    sign_p: float | None
    better: int
    welch_p: float | None
    cohens_d: float | None


def sample(values: Sequence[float]) -> Sample:
    """Sum up the losses of one arm."""
    spread = statistics.stdev(values) if len(values) > 1 else None
    return Sample(statistics.fmean(values), spread, tuple(values))


def compare(baseline: Sequence[float], treatment: Sequence[float]) -> Comparison:
    """Compare losses seed by seed.

    Args:
        baseline: a loss a seed.
        treatment: the same seeds in the same order.
    """
    differences = [t - b for b, t in zip(baseline, treatment, strict=True)]
    of_them, first, second = sample(differences), sample(baseline), sample(treatment)
    better, worse = sum(d < 0 for d in differences), sum(d > 0 for d in differences)
    interval = paired_p = welch_p = d = None
    if of_them.spread:
        test = stats.ttest_rel(treatment, baseline)
        low, high = test.confidence_interval(LEVEL)
        interval, paired_p = (float(low), float(high)), float(test.pvalue)
    if first.spread is not None and second.spread is not None:
        pooled = sqrt((first.spread**2 + second.spread**2) / 2)  # of equal numbers of seeds
        if pooled:
            d = of_them.mean / pooled
            welch_p = float(stats.ttest_ind(treatment, baseline, equal_var=False).pvalue)
    return Comparison(
        difference=of_them.mean,
        spread=of_them.spread,
        interval=interval,
        change_percent=100 * of_them.mean / first.mean,
        paired_t_p=paired_p,
        sign_p=float(stats.binomtest(better, better + worse).pvalue) if better + worse else None,
        better=better,
        welch_p=welch_p if welch_p is not None and isfinite(welch_p) else None,
        cohens_d=d,
    )

"""The gallery of broken layers that change the rate."""

from fractions import Fraction

from dsptorch.testing import (
    assert_causal,
    assert_length_invariant,
    assert_packs,
    assert_receptive_field,
    assert_shift_covariant,
    assert_streaming_equals_batch,
    check_layer,
)
from dsptorch.testing.contract import CONTRACT
from tests.testing import broken_rates as bad
from tests.testing.broken_rates import M, decimate, down_and_up
from tests.testing.bug import Bug, example, on


def part(name):
    """One part of the contract."""
    return lambda layer: check_layer(layer, skip=CONTRACT.keys() - {name})


RATES: dict[str, Bug] = {
    "floor instead of ceil": Bug(
        on(assert_length_invariant),
        lambda: decimate(bad.Floors),
        decimate,
        r"after 1 inputs ceil\(1 \* 1/3\) = 1 outputs must be out, in 2 rows, got \(2, 0, 4\)",
    ),
    "a rate that is another one": Bug(
        on(assert_length_invariant, rate=Fraction(1, M)),
        lambda: lambda x: x[:, :: M + 1],
        lambda: lambda x: x[:, ::M],
        r"ceil\(24 \* 1/3\) = 8 outputs must be out, in 2 rows, got \(2, 6, 4\); the rate is another one",
    ),
    "a rate that is a float": Bug(
        part("metadata"), lambda: decimate(bad.SaysItsRateAsAFloat), decimate, "must be a fractions.Fraction"
    ),
    "a frame that is lost between chunks": Bug(
        on(assert_streaming_equals_batch),
        lambda: decimate(bad.LosesAFrame),
        decimate,
        r"after 4 inputs ceil\(4 \* 1/3\) = 2 outputs must be out, 1 of them in this chunk",
    ),
    "a phase that is lost between chunks": Bug(
        on(assert_streaming_equals_batch),
        lambda: decimate(bad.ForgetsItsPhase),
        decimate,
        r"after 2 inputs ceil\(2 \* 1/3\) = 1 outputs must be out, 0 of them in this chunk",
    ),
    "frames of the wrong samples of a chunk": Bug(
        on(assert_streaming_equals_batch),
        lambda: decimate(bad.KeepsTheWrongSample),
        decimate,
        r"the output differs at .* \(in chunk \d+, its sample \d+\)",
    ),
    "outputs that come before they are due": Bug(
        part("shapes"),
        lambda: down_and_up(bad.HoldsNothingBack),
        down_and_up,
        r"\(0, 1, 4\) came out as .* \(0, 3, 4\)",
    ),
    "the mean of a block, without a shift": Bug(
        on(assert_causal, rate=Fraction(1, M)),
        lambda: bad.block_means,
        lambda: bad.shifted_block_means,
        r"the output at time \d+ \(input \d+\) changed .* sees at least 2 samples ahead",
    ),
    "interpolation towards the next sample": Bug(
        on(assert_causal, rate=M),
        lambda: bad.towards_the_next,
        lambda: bad.from_the_last,
        "at least 1 samples ahead",
    ),
    "interpolation towards the next frame": Bug(
        on(assert_causal),
        lambda: bad.towards_the_next_frame,
        lambda: bad.from_the_last_frame,
        r"at least 2 samples ahead of 24. Only outputs at times t with t mod 3 in 1, 2 do",
    ),
    "a period that is shorter than the grid": Bug(
        lambda layer: assert_shift_covariant(layer, example(), layer.period),
        lambda: down_and_up(bad.SaysAShorterPeriod),
        down_and_up,
        "shifted by 1 samples in, the output is not what it was shifted by 1",
    ),
    "a period that is no multiple of the grid": Bug(
        part("metadata"),
        lambda: down_and_up(bad.SaysAPeriodOffTheGrid),
        down_and_up,
        "period must be a multiple of grid, got 4 and 3",
    ),
    "a receptive field that is too short for a decimator": Bug(
        lambda layer: assert_receptive_field(layer, example(), layer.receptive_field),
        lambda: decimate(bad.SaysAShorterField),
        decimate,
        r"the output at time \d+ \(input \d+\) depends on inputs before .* more than 2 samples earlier",
    ),
    "a width that is another one": Bug(
        part("shapes"), lambda: decimate(bad.SaysAnotherWidth), decimate, "rate is 1/3, d_out is 5"
    ),
    "a delay that is negative": Bug(
        part("metadata"),
        lambda: decimate(bad.SaysANegativeDelay),
        decimate,
        r"delay must be .* got Fraction\(-1, 2\)",
    ),
    "a decimator that reaches into its neighbour": Bug(
        on(assert_packs), lambda: decimate(bad.IgnoresSegments), decimate, "reaches into its neighbour"
    ),
    "a filter that reaches into its neighbour at the low rate": Bug(
        on(assert_packs), bad.reaches_at_the_low_rate, down_and_up, "reaches into its neighbour"
    ),
    "signals off the grid that are accepted": Bug(
        on(assert_packs),
        lambda: decimate(bad.TakesSegmentsOffTheGrid),
        decimate,
        "begins at sample 4, no multiple of the grid of 3, must be refused",
    ),
    "padding that is not 0 at the other rate": Bug(
        on(assert_packs), lambda: decimate(bad.KeepsItsPadding), decimate, "padding did not become 0"
    ),
    "rows out of phase that are accepted": Bug(
        part("state"),
        lambda: decimate(bad.TakesRowsOutOfPhase),
        decimate,
        r"\[1, 2\] must be refused by ValueError",
    ),
}

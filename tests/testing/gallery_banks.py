"""The gallery of broken filterbanks."""

from dsptorch.testing import (
    assert_length_invariant,
    assert_packs,
    assert_perfect_reconstruction,
    assert_streaming_equals_batch,
)
from tests.testing import broken_banks as bad
from tests.testing.broken_banks import bank, undone
from tests.testing.bug import Bug, on

BANKS: dict[str, Bug] = {
    "a synthesis whose filters are not reversed": Bug(
        on(assert_perfect_reconstruction),
        lambda: undone(bad.NotReversed),
        undone,
        "no perfect reconstruction late by 5",
    ),
    "a bank whose phase counts from N / 2": Bug(
        on(assert_perfect_reconstruction),
        lambda: undone(filters=bad.HalfASampleOff),
        undone,
        "no perfect reconstruction late by 5",
    ),
    "a synthesis that does not declare its delay": Bug(
        on(assert_perfect_reconstruction), lambda: undone(bad.SaysNoDelay), undone, "late by 5, times 1"
    ),
    "a bank whose frames come with their last sample": Bug(
        on(assert_length_invariant),
        lambda: bank(bad.Floors),
        bank,
        r"after 1 inputs ceil\(1 \* 1/3\) = 1 outputs must be out, in 2 rows, got \(2, 0, \d+\)",
    ),
    "a bank that begins a frame with each chunk": Bug(
        on(assert_streaming_equals_batch),
        lambda: bank(bad.ForgetsItsPhase),
        bank,
        r"after 2 inputs ceil\(2 \* 1/3\) = 1 outputs must be out, 0 of them in this chunk",
    ),
    "a frame that holds samples of its neighbour": Bug(
        on(assert_packs), lambda: bank(bad.ReachesAcross), bank, "reaches into its neighbour"
    ),
}

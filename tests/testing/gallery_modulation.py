"""The gallery of broken oscillators, gates and moving delays."""

from dsptorch.testing import (
    assert_causal,
    assert_gradients,
    assert_identity,
    assert_packs,
    assert_receptive_field,
    assert_streaming_equals_batch,
)
from tests.testing import broken_modulation as bad
from tests.testing.broken_modulation import delay, gate, tremolo
from tests.testing.bug import Bug, example, on

MODULATION: dict[str, Bug] = {
    "an oscillator that counts from the chunk's start": Bug(
        on(assert_streaming_equals_batch),
        lambda: tremolo(bad.CountsFromTheChunk),
        tremolo,
        r"in chunk \d+, its sample",
    ),
    "a phase that is not reset at a segment": Bug(
        on(assert_packs), lambda: tremolo(bad.CountsTheWholeRow), tremolo, "a position that goes on counting"
    ),
    "one gate for all rows": Bug(
        on(assert_streaming_equals_batch),
        lambda: gate(bad.OneGateForAllRows),
        gate,
        r"rows at the positions \[0, 8, 12\]",
    ),
    "a tremolo that is not the identity at first": Bug(
        on(assert_identity), tremolo, lambda: tremolo(init="identity"), "not the identity"
    ),
    "a moving delay that reads the future": Bug(
        on(assert_causal), lambda: delay(bad.ReadsTheFuture), delay, "not causal"
    ),
    "a moving delay that reaches into its neighbour": Bug(
        on(assert_packs), lambda: delay(bad.ReachesIntoItsNeighbour), delay, "reaches into"
    ),
    "a moving delay that leaves its interval": Bug(
        lambda layer: assert_receptive_field(layer, example(), layer.receptive_field),
        lambda: delay(bad.GoesFurther),
        delay,
        "A receptive field of 3 is too short",
    ),
    "a moving delay whose slope is another": Bug(
        on(assert_gradients), lambda: delay(bad.MovesTwiceAsMuch), delay, "is wrong"
    ),
    "an allpass that is lost between chunks": Bug(
        on(assert_streaming_equals_batch),
        lambda: delay(bad.ForgetsItsAllpass, interpolation="allpass"),
        lambda: delay(interpolation="allpass"),
        "in chunks of",
    ),
}

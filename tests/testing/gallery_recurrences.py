"""The gallery of broken recurrences."""

import torch

from dsptorch import EMA, Resonator
from dsptorch.testing import assert_bounded, assert_dtypes, assert_packs, assert_streaming_equals_batch
from tests.testing import broken_recurrences as bad
from tests.testing.broken_recurrences import WIDTH, ema, section_at
from tests.testing.bug import Bug, on

RECURRENCES: dict[str, Bug] = {
    "a state without zf": Bug(
        on(assert_streaming_equals_batch), lambda: ema(bad.HasNoZf), ema, "a state that forgets inputs"
    ),
    "a state that is a sample late": Bug(
        on(assert_streaming_equals_batch),
        lambda: bad.StateIsLate(WIDTH),
        lambda: Resonator(WIDTH),
        "in chunks of",
    ),
    "a state that is not reset at a segment": Bug(
        on(assert_packs), lambda: ema(bad.RunsOn), ema, "reaches into its neighbour"
    ),
    "a mean that counts the samples of its neighbours": Bug(
        on(assert_packs),
        lambda: ema(bad.CountsTheWholeRow, warm=True),
        lambda: ema(warm=True),
        "a position that goes on counting",
    ),
    "a pole at 1": Bug(
        lambda layer: assert_bounded(layer, torch.zeros(1, 80, 1, dtype=torch.float64), 50.0),
        lambda: section_at(1.0),
        lambda: section_at(2**-0.5),
        "not bounded by 50",
    ),
    "a state in half precision": Bug(
        lambda layer: assert_dtypes(layer, torch.ones(1, 400, 1), autocast=False),
        lambda: bad.RoundsItsState(1, 300.0),
        lambda: EMA(1, 300.0),
        "further from float64's than rounding is",
    ),
}

"""The gallery of models that do not stream, although their layers do."""

from fractions import Fraction
from functools import partial

from torch import nn

from dsptorch import FIR, Decimate
from dsptorch.testing import assert_streaming_equals_batch
from tests.testing.broken_layers import WIDTH, ForgetsShortChunks, lowpass
from tests.testing.broken_models import Attends, Centres, Convolves, Places, Rounds, behind
from tests.testing.broken_rates import ForgetsItsPhase
from tests.testing.bug import Bug, example, on


def with_cache(model):
    """Give each signal a cache of its own."""
    start = (lambda: partial(model, past=[])) if isinstance(model, Attends) else None
    assert_streaming_equals_batch(model, example(), start=start)


class Stale(Attends):
    """Has a cache, and gives the model another one for each chunk."""

    def forward(self, x, past=None):
        return super().forward(x, None)


MODELS: dict[str, Bug] = {
    "attention that is given no cache": Bug(
        with_cache, Stale, Attends, r"output y differs .* first at time 1 .* is 'attention' \(Attention\): "
    ),
    "a convolution with left padding": Bug(
        on(assert_streaming_equals_batch), Convolves, lambda: Convolves(True), r"is 'conv' \(Conv1d\): "
    ),
    "a recurrence that begins anew": Bug(
        on(assert_streaming_equals_batch),
        lambda: nn.Sequential(FIR(WIDTH), nn.GRU(WIDTH, WIDTH, batch_first=True)).double(),
        lambda: nn.Sequential(FIR(WIDTH), nn.GELU()).double(),
        r"is '1' \(GRU\): ",
    ),
    "positions that begin anew": Bug(
        on(assert_streaming_equals_batch),
        Places,
        lambda: Places(True),
        r"is the model itself \(Places\), between its submodules: ",
    ),
    "a mean over the time of a chunk": Bug(
        on(assert_streaming_equals_batch),
        lambda: behind(Centres()),
        lambda: behind(nn.LayerNorm(WIDTH)),
        r"first at time 0 .* is '1' \(Centres\): ",
    ),
    "a layer in a model whose state forgets": Bug(
        on(assert_streaming_equals_batch),
        lambda: behind(ForgetsShortChunks(WIDTH, 4, init="lowpass")),
        lambda: behind(lowpass()),
        r"is '1' \(ForgetsShortChunks\): ",
    ),
    "a difference beside huge values": Bug(
        on(assert_streaming_equals_batch),
        lambda: Rounds(Convolves()),
        lambda: Rounds(Convolves(True)),
        r"the output masked differs .* is 'part.conv' \(Conv1d\): ",
    ),
    "a frame that is lost between the chunks of a model": Bug(
        on(assert_streaming_equals_batch, rate=Fraction(1, 3)),
        lambda: nn.Sequential(ForgetsItsPhase(WIDTH, 3)).double(),
        lambda: nn.Sequential(Decimate(WIDTH, 3)).double(),
        r"chunk 1 of lengths \[1, 1, .*must be of shape \(2, 0, 4\), got \(2, 1, 4\)",
    ),
}

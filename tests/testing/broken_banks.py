"""Filterbanks that break one promise each."""

import math

import torch

from dsptorch import FilterBank, Subbands, Synthesis
from dsptorch.functional import cosine_window, synthesis
from dsptorch.functional.filtering import with_history
from dsptorch.layers.bank_filters import Cosine
from tests.testing.broken_layers import WIDTH

DOUBLE = {"dtype": torch.float64}
BANDS = 3


def bank(kind=FilterBank):
    return kind(WIDTH, BANDS, overlap=1, **DOUBLE)


def undone(back=Synthesis, filters=Cosine):
    """Analysis and synthesis, and nothing between."""
    layer = Subbands(bank())
    layer.members[0].filters.__class__ = filters
    layer.members[-1].__class__ = back
    return layer


class NotReversed(Synthesis):
    """The filters of analysis themselves."""

    def process(self, x, memory, timeline):
        kept = self.receptive_field - 1
        seen = with_history(x, memory, kept)
        y = synthesis(seen, self.bank.matrix(), self.bank.stride, history=kept)
        return y, super().process(x, memory, timeline)[1]


class HalfASampleOff(Cosine):
    """The phase counts from N / 2, which is not the middle of N taps."""

    def forward(self):
        bands, window = self.num_filters, cosine_window(self.angles, self.num_filters)
        n = torch.arange(self.numtaps) - self.numtaps / 2
        k = torch.arange(bands).unsqueeze(1)
        return 2 * window * torch.cos((2 * k + 1) * math.pi / (2 * bands) * n + (-1) ** k * math.pi / 4)


class Floors(FilterBank):
    """After t samples floor(t / M) frames are out."""

    def process(self, x, memory, timeline):
        y, memory = super().process(x, memory, timeline)
        stride = self.stride
        return y[:, : (timeline.phase + x.shape[1]) // stride - timeline.phase // stride], memory


class ForgetsItsPhase(FilterBank):
    """Each chunk begins a new frame."""

    def process(self, x, memory, timeline):
        return super().process(x, memory, timeline._replace(phase=0))


class ReachesAcross(FilterBank):
    """Frames of one signal hold samples of the one before."""

    def process(self, x, memory, timeline):
        y, _ = super().process(x, memory, timeline._replace(segments=None))
        return y, super().process(x, memory, timeline)[1]


class SaysNoDelay(Synthesis):
    """Late by as much as any, and silent about it."""

    delay = 0

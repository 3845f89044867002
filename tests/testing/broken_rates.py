"""Layers and functions that change the rate and break one promise each."""

from fractions import Fraction

import torch
import torch.nn.functional as F

from dsptorch import FIR, Chain, Decimate, Upsample
from tests.testing.broken_layers import WIDTH, ReachesIntoItsNeighbour

DOUBLE = {"dtype": torch.float64}
M = 3


def decimate(kind=Decimate, **kwargs):
    return kind(WIDTH, M, 5, **kwargs, **DOUBLE)


def down_and_up(kind=Chain, inner=None):
    inner = FIR(WIDTH, 3, init="lowpass", **DOUBLE) if inner is None else inner
    return kind(Decimate(WIDTH, M, **DOUBLE), inner, Upsample(WIDTH, M, **DOUBLE))


class Floors(Decimate):
    """After t samples floor(t / M) are out: those of the blocks that are complete."""

    def process(self, x, memory, timeline):
        y, memory = super().process(x, memory, timeline)
        return y[:, : (timeline.phase + x.shape[1]) // M - timeline.phase // M], memory


class LosesAFrame(Decimate):
    """The first frame of a chunk after the first one is lost."""

    def process(self, x, memory, timeline):
        y, after = super().process(x, memory, timeline)
        return (y if memory is None else y[:, 1:]), after


class ForgetsItsPhase(Decimate):
    """Each chunk begins a new block."""

    def process(self, x, memory, timeline):
        return super().process(x, memory, timeline._replace(phase=0))


class KeepsTheWrongSample(Decimate):
    """The right number of frames at every prefix, but in a chunk those of the sample before."""

    def process(self, x, memory, timeline):
        y, after = super().process(x, memory, timeline)
        if memory is not None:
            y = super().process(x.roll(1, 1), memory, timeline)[0]
        return y, after


class HoldsNothingBack(Chain):
    """Each block of outputs is out as soon as its first input is in."""

    def __init__(self, *layers):
        super().__init__(*layers)
        self._most_waiting = 0


class SaysAShorterPeriod(Chain):
    period = 1


class SaysAPeriodOffTheGrid(Chain):
    period = M + 1


class SaysAShorterField(Decimate):
    receptive_field = 3


class SaysAnotherWidth(Decimate):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.d_out = WIDTH + 1


class SaysANegativeDelay(Decimate):
    delay = Fraction(-1, 2)


class SaysItsRateAsAFloat(Decimate):
    @property
    def rate(self):
        return 1 / M

    @rate.setter
    def rate(self, value):
        pass


class IgnoresSegments(Decimate):
    """Right on the grid, but its taps reach across the border."""

    def process(self, x, memory, timeline):
        return super().process(x, memory, timeline._replace(segments=None))


class TakesSegmentsOffTheGrid(Decimate):
    """Takes a row whose signals begin off the grid for one signal."""

    def forward(self, x, segment_ids=None, **kwargs):
        try:
            return super().forward(x, segment_ids, **kwargs)
        except ValueError:
            return super().forward(x)


class TakesRowsOutOfPhase(Decimate):
    def step(self, x, state=None, segment_ids=None):
        if state is not None:
            state = state._replace(position=state.position[:1].expand_as(state.position))
        return super().step(x, state, segment_ids)


class KeepsItsPadding(Decimate):
    """Frames of padding are not 0."""

    def forward(self, x, segment_ids=None):
        y = super().forward(x, segment_ids)
        return y if segment_ids is None else y + (segment_ids[:, ::M] < 0).unsqueeze(-1)


def reaches_at_the_low_rate():
    return down_and_up(inner=ReachesIntoItsNeighbour(WIDTH, 3, init="lowpass", **DOUBLE))


def block_means(x):
    """Frame n is the mean of its own block, whose last sample is M - 1 later."""
    padded = F.pad(x, (0, 0, 0, -x.shape[1] % M))
    return padded.unflatten(1, (-1, M)).mean(2)


def shifted_block_means(x):
    return block_means(F.pad(x, (0, 0, M - 1, 0)))[:, : -(-x.shape[1] // M)]


def towards_the_next(x):
    """Each sample, and M - 1 between it and the next."""
    after = F.pad(x, (0, 0, 0, 1))[:, 1:]
    share = torch.arange(M, dtype=x.dtype)[:, None] / M
    return torch.lerp(x.unsqueeze(2), after.unsqueeze(2), share).flatten(1, 2)


def from_the_last(x):
    return F.pad(towards_the_next(x), (0, 0, M, 0))[:, : M * x.shape[1]]


def towards_the_next_frame(x):
    return towards_the_next(x[:, ::M])[:, : x.shape[1]]


def from_the_last_frame(x):
    return from_the_last(x[:, ::M])[:, : x.shape[1]]

"""The gallery of broken wavelets, liftings and undecimated banks, and what they would be without the bug."""

import torch

from dsptorch import FIR, InverseLifting, Lifting, UndecimatedBands, Wavelet, WaveletPacket, WaveletSynthesis
from dsptorch.functional import wavelet_tree
from dsptorch.functional.blocks import to_blocks
from dsptorch.functional.timeline import Timeline
from dsptorch.testing import (
    assert_energy_preserving,
    assert_packs,
    assert_perfect_reconstruction,
    assert_streaming_equals_batch,
)
from tests.testing.broken_layers import WIDTH
from tests.testing.bug import Bug, example, on

DOUBLE = {"dtype": torch.float64}
LATE = 9  # (2^2 - 1) (4 - 1)


def wavelet(kind=Wavelet):
    return kind(WIDTH, "db2", 2, **DOUBLE)


def pair(kind=Wavelet, back=WaveletSynthesis):
    layer = wavelet(kind)
    return layer, back(layer)


def lifting(back=InverseLifting):
    taps = torch.tensor([0.5, -0.3], dtype=torch.float64).unsqueeze(1).repeat(1, WIDTH)
    layer = Lifting(*(FIR(WIDTH, 2, init=taps, **DOUBLE) for _ in range(2)))
    return layer, back(layer)


class IsNotReversed(Wavelet):
    """The filters of its synthesis are those of the analysis, in the same order."""

    def synthesize(self, y, memory, timeline):
        return wavelet_tree.wavelet_synthesis(y, self.matrix().flip(1), self.level, memory, timeline)


class DetailsDoNotWait(Wavelet):
    """The details of the first level meet an approximation that is later."""

    def synthesize(self, y, memory, timeline):
        *others, first = self.split(y)
        first = torch.nn.functional.pad(first, (0, 0, 0, 2))[:, 2:]
        return super().synthesize(self.join([*others, first]), memory, timeline)


class FreeTaps(Wavelet):
    """Filters that learned as taps, and not as angles."""

    def matrix(self):
        return super().matrix() * torch.linspace(0.9, 1.1, 4, **DOUBLE)


class SwapsBands(WaveletPacket):
    """Makes its bands rise in frequency, and takes them for natural order."""

    def process(self, x, memory, timeline):
        y, memory = super().process(x, memory, timeline)
        aa, ad, da, dd = self.split(y)
        return torch.cat([aa, ad, dd, da], -1), memory


class ForgetsItsDetails(Wavelet):
    """The samples of a frame that came with an earlier chunk are lost."""

    def process(self, x, memory, timeline):
        if memory is not None:
            memory = tuple((seen, torch.zeros_like(waiting)) for seen, waiting in memory)
        return super().process(x, memory, timeline)


class HoldsItsNeighbour(Wavelet):
    """A frame holds samples of the signal before its own."""

    def process(self, x, memory, timeline):
        y, after = super().process(x, memory, timeline)
        first = Wavelet(WIDTH, "db2", 1, **DOUBLE)
        v, _ = first.process(x, None, timeline)
        alone = Timeline(None, timeline.resampled(first.rate).phase)
        details, _ = to_blocks(v[..., WIDTH:], 2, None, alone)
        return torch.cat([y[..., : 2 * WIDTH], details], -1), after


class TakesTheStepsInOrder(InverseLifting):
    """Takes the steps back in the order in which they were made."""

    def lift(self, pair, memories, clock, *, inverse):
        predict, update = self.members
        detail = pair[1] + predict.process(pair[0], memories[0], clock)[0]
        return [pair[0] - update.process(detail, memories[1], clock)[0], detail], memories


class LeavesOutABand(UndecimatedBands):
    """The sum of its bands is not the signal."""

    def split(self, y):
        return super().split(y)[:-1]


def bands(kind=UndecimatedBands):
    layer = kind(WIDTH, 2, **DOUBLE)
    return layer, lambda y: sum(layer.split(y))


WAVELETS: dict[str, Bug] = {
    "a synthesis that is not reversed": Bug(
        on(assert_perfect_reconstruction, delay=LATE),
        lambda: pair(IsNotReversed),
        pair,
        "no perfect reconstruction",
    ),
    "half a delay, (N - 1) / 2": Bug(
        lambda both: assert_perfect_reconstruction(both[:2], example(), delay=both[2]),
        lambda: (*pair(), LATE // 2),
        lambda: (*pair(), LATE),
        "late by 4: .* late by 9",
    ),
    "details that do not wait for the approximation": Bug(
        on(assert_perfect_reconstruction, delay=LATE),
        lambda: pair(DetailsDoNotWait),
        pair,
        "no perfect reconstruction",
    ),
    "a wavelet with free taps": Bug(
        on(assert_energy_preserving), lambda: wavelet(FreeTaps), wavelet, "energy is not kept"
    ),
    "packets in another order": Bug(
        on(assert_perfect_reconstruction, delay=LATE),
        lambda: pair(SwapsBands),
        lambda: pair(WaveletPacket),
        "no perfect reconstruction",
    ),
    "details that are lost between chunks": Bug(
        on(assert_streaming_equals_batch),
        lambda: wavelet(ForgetsItsDetails),
        wavelet,
        r"in chunk \d+, its sample",
    ),
    "a frame that holds its neighbour's samples": Bug(
        on(assert_packs), lambda: wavelet(HoldsItsNeighbour), wavelet, "reaches into its neighbour"
    ),
    "lifting steps that are taken back in their order": Bug(
        on(assert_perfect_reconstruction, delay=1),
        lambda: lifting(TakesTheStepsInOrder),
        lifting,
        "no perfect reconstruction",
    ),
    "undecimated bands that do not add up": Bug(
        on(assert_perfect_reconstruction), lambda: bands(LeavesOutABand), bands, "no perfect reconstruction"
    ),
}

"""Arms: what stands between the waveform and the network, each with frames every 10 ms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor, nn

from dsptorch import Chain, Decimate, FilterBank, Layer, Pointwise
from dsptorch.audio import PCEN, GaborBank, Gammatone, LogCompression, MelSpectrogram, SincBank
from dsptorch.functional import Timeline, analysis
from dsptorch.functional.filtering import latest, with_history

from .data import RATE

BANDS = 64


@dataclass(frozen=True)
class Arm:
    """A front end.

    Args:
        label: its name in tables.
        energies: builds the layer from waveforms to energies of bands.
        compression: builds the layer that compresses them, of a width.
    """

    label: str
    energies: Callable[[], Layer]
    compression: Callable[[int], Layer]


class Square(nn.Module):
    """The energy of each sample."""

    def forward(self, x: Tensor) -> Tensor:
        """Square."""
        return x.square()


def cosine_energies() -> Layer:
    """A cosine-modulated bank, which reconstructs the waveform, and the mean energy of 25 ms every 10 ms."""
    bank = FilterBank(1, 80, "cosine")  # bands of 100 Hz, 200 frames a second
    average = Decimate(80, 2, 5, init="mean").requires_grad_(False)
    return Chain(bank, Pointwise(Square(), 80), average)


def free_energies() -> Layer:
    """A learned convolution of 25 ms, and the energy of its outputs: no prior but the length."""
    return Chain(
        FreeConv(BANDS, 401, RATE // 200), Pointwise(Square(), BANDS), Decimate(BANDS, 2, 5, init="mean")
    )


class FreeConv(Layer):
    """A strided causal convolution that begins at random and learns every tap.

    Args:
        num_filters: Its outputs.
        kernel_size: Taps of each.
        stride: Samples from one output to the next.
    """

    lookahead = 0

    def __init__(self, num_filters: int, kernel_size: int, stride: int) -> None:
        super().__init__(1, num_filters)
        self.weight = nn.Parameter(torch.empty(num_filters, kernel_size))
        self.rate, self.grid = Fraction(1, stride), stride
        self.set_first_values()

    def first_values(self) -> dict[str, Tensor]:
        """Noise of unit gain."""
        return {"weight": torch.randn(self.weight.shape) / self.weight.shape[1] ** 0.5}

    @property
    def period(self) -> int:
        """The stride."""
        return self.grid

    @property
    def receptive_field(self) -> int:
        """The taps."""
        return self.weight.shape[1]

    def process(self, x: Tensor, memory: Tensor | None, timeline: Timeline) -> tuple[Tensor, Tensor]:
        """Filter the next chunk."""
        kept, segments = self.receptive_field - 1, timeline.segments
        seen = with_history(x, memory, kept)
        position = None if segments is None else segments.position
        y = analysis(seen, self.weight, self.grid, history=kept, phase=timeline.phase, position=position)
        return y, latest(seen, kept, segments)


ARMS: Mapping[str, Arm] = {
    "mel": Arm("mel, logarithm", lambda: MelSpectrogram(RATE, f_min=60.0, n_mels=BANDS), LogCompression),
    "mel_pcen": Arm("mel, PCEN", lambda: MelSpectrogram(RATE, f_min=60.0, n_mels=BANDS), PCEN),
    "gabor": Arm("Gabor, PCEN", lambda: GaborBank(BANDS, RATE), PCEN),
    "sinc": Arm("sinc, logarithm", lambda: SincBank(BANDS, RATE), LogCompression),
    "gammatone": Arm(
        "gammatone, logarithm", lambda: Gammatone(BANDS, RATE).requires_grad_(False), LogCompression
    ),
    "cosine": Arm("cosine bank, logarithm", cosine_energies, LogCompression),
    "free": Arm("free convolution, logarithm", free_energies, LogCompression),
}

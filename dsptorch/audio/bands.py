"""Complex band filters of finite length, computed only where their energy is taken."""

from abc import abstractmethod
from fractions import Fraction

import torch
from torch import Tensor

from dsptorch.audio.waveform import OnWaveforms
from dsptorch.functional.filtering import latest, with_history
from dsptorch.functional.frames import analysis
from dsptorch.functional.timeline import Timeline
from dsptorch.layers.base import whole

__all__ = ["BandFilters"]


class BandFilters(OnWaveforms):
    """Filter a waveform by K complex filters, and keep every `stride`-th value.

        z_k[n] = sum_m  g_k[m] * x[stride n - m]

    Args:
        num_filters: K.
        filter_length: Taps of each filter.
        stride: Samples from one value to the next.
    """

    def __init__(self, num_filters: int, filter_length: int, stride: int) -> None:
        super().__init__(2 * num_filters)
        self.num_filters, self.filter_length, self.stride = num_filters, filter_length, stride
        self.rate, self.grid = Fraction(1, stride), stride

    @abstractmethod
    def filters(self) -> tuple[Tensor, Tensor]:
        """The real and imaginary parts of the present filters, (K, filter_length) each."""

    @property
    def delay(self) -> int | Fraction:
        """Half the length of a filter."""
        return whole(Fraction(self.filter_length - 1, 2))

    @property
    def period(self) -> int:
        """The samples from one value to the next."""
        return self.stride

    @property
    def receptive_field(self) -> int:
        """The taps of a filter."""
        return self.filter_length

    def process(self, x: Tensor, memory: Tensor | None, timeline: Timeline) -> tuple[Tensor, Tensor]:  # noqa: D102
        kept, segments = self.filter_length - 1, timeline.segments
        seen = with_history(x, memory, kept)
        position = None if segments is None else segments.position
        bank = torch.cat(self.filters())
        y = analysis(seen, bank, self.stride, history=kept, phase=timeline.phase, position=position)
        return y, latest(seen, kept, segments)

    def times(self, like: Tensor) -> Tensor:
        """The times of the taps about the middle of the filter, in samples: (1, filter_length)."""
        at = torch.arange(self.filter_length, device=like.device, dtype=like.dtype)
        return (at - (self.filter_length - 1) / 2).unsqueeze(0)

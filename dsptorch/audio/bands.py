"""Complex band filters, computed only where their energy is taken."""

from abc import abstractmethod
from fractions import Fraction

import torch
from torch import Tensor

from dsptorch.audio.waveform import OnWaveforms, check_band, check_sample_rate, samples_of
from dsptorch.functional.filtering import latest, with_history
from dsptorch.functional.frames import analysis
from dsptorch.functional.precision import without_autocast
from dsptorch.functional.spectrum import real_spectrum, squared_magnitude
from dsptorch.functional.timeline import Timeline
from dsptorch.functional.validate import check_int
from dsptorch.layers.base import whole

__all__ = ["BandFilters", "ComplexFilters"]


class ComplexFilters(OnWaveforms):
    """Filter a waveform by K complex filters; a subclass says how, and how they pass energy.

    Attributes:
        num_filters: K.
        tail: The samples for which they ring, or nearly so, after the last sample of the input.
    """

    num_filters: int
    tail: int

    @abstractmethod
    def power(self, n_fft: int) -> Tensor:
        """The means of |G|^2 at the frequencies k / n_fft and -k / n_fft cycles per sample: (n_fft // 2 + 1, K)."""


class BandFilters(ComplexFilters):
    """Filter a waveform by K complex filters, and keep every `stride`-th value.

        z_k[n] = sum_m  g_k[m] * x[stride n - m]

    Args:
        num_filters: K, at least 1.
        sample_rate: In Hz.
        filter_length: Taps of each filter. None: 25 ms, and one more.
        stride: Samples from one value to the next, at least 1.
        f_min: The lower end of the bands in Hz, at least 1.
        f_max: The upper end; None: half of the sample rate.
    """

    def __init__(
        self,
        num_filters: int,
        sample_rate: int,
        filter_length: int | None,
        stride: int,
        f_min: float,
        f_max: float | None,
    ) -> None:
        super().__init__(2 * check_int("num_filters", num_filters, least=1))
        self.num_filters, self.sample_rate = num_filters, check_sample_rate(sample_rate)
        length = samples_of("filter_length", filter_length, 0.025, sample_rate)
        self.filter_length = length + (filter_length is None)
        self.tail = self.filter_length - 1
        self.stride = check_int("stride", stride, least=1)
        self.rate, self.grid = Fraction(1, stride), stride
        self.f_min, self.f_max = check_band(f_min, f_max, sample_rate, least=1.0)

    @abstractmethod
    def filters(self) -> tuple[Tensor, Tensor]:
        """The real and imaginary parts of the present filters, (K, filter_length) each."""

    def power(self, n_fft: int) -> Tensor:  # noqa: D102
        real, imaginary = self.filters()
        with without_autocast(real):
            responses = real_spectrum(torch.stack([real, imaginary]), n_fft)
        # |R + i I|^2 and |R* + i I*|^2, whose mean has no product of both.
        return squared_magnitude(responses).sum(0).T

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

    def extra_repr(self) -> str:  # noqa: D102
        return (
            f"{self.num_filters}, sample_rate={self.sample_rate}, filter_length={self.filter_length}, "
            f"stride={self.stride}"
        )

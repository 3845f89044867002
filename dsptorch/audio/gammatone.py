"""Gammatone filters, a model of the inner ear: as recurrences and by their spectra."""

import math
from fractions import Fraction

import torch
from torch import Tensor

from dsptorch.audio.band_bank import BandBank
from dsptorch.audio.bands import ComplexFilters
from dsptorch.audio.energy import BandEnergy, stride_of
from dsptorch.audio.scales import erb, from_erb_rate, to_erb_rate
from dsptorch.audio.waveform import check_band, check_sample_rate, samples_of
from dsptorch.functional.filtering import latest, with_history
from dsptorch.functional.frames import analysis
from dsptorch.functional.recurrence import recur_coupled
from dsptorch.functional.timeline import Timeline
from dsptorch.functional.validate import check_int
from dsptorch.hyperparams import BoundedHyperparam, real_tensors
from dsptorch.layers import Chain

__all__ = ["Gammatone", "GammatoneBank", "GammatoneFilters"]

_ORDER = 4


class GammatoneFilters(ComplexFilters):
    """Filter a waveform by gammatone filters, and keep every `stride`-th value: four equal complex one-poles in a row.

        z_k = (1 - |p_k|)^4 / (1 - p_k / z)^4,    p_k = exp(2 pi (-width_k ERB(f_k) + i f_k) / sample_rate)

    The gain at f_k is 1, and 2 Re z is the output of the real filter. The impulse response is infinite; the layer
    remembers 4 complex numbers a filter, which it moves on by `stride` samples at once.

    Args:
        num_filters: The number of filters, at least 1.
        sample_rate: In Hz.
        stride: Samples from one value to the next, at least 1.
        f_min: The centre of the lowest filter in Hz, at least 1.
        f_max: The centre of the highest; None: 0.45 times the sample rate.
        device: The device of the hyperparameters.

    Attributes:
        freq: f_k in Hz, in [f_min, f_max]; initially evenly spaced on the ERB-rate scale.
        width: The bandwidth in ERB, in [0.25, 4]; initially 1.019.

    Shape:
        (batch, time, 1) -> (batch, ceil(time / stride), 2 * num_filters), the real parts before the imaginary ones.

    Raises:
        TypeError, ValueError: If an argument is not as described.

    Example:
        >>> filters = GammatoneFilters(8, 16000)
        >>> filters(torch.randn(1, 400, 1)).shape
        torch.Size([1, 400, 16])

    References:
        V. Hohmann, Frequency analysis and synthesis using a Gammatone filterbank, Acta Acustica 88, 2002, p. 434,
        eq. 10 to 14; R. D. Patterson et al., An efficient auditory filterbank based on the gammatone function, 1987.
    """

    receptive_field = None

    def __init__(
        self,
        num_filters: int = 40,
        sample_rate: int = 16000,
        stride: int = 1,
        *,
        f_min: float = 60.0,
        f_max: float | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__(2 * check_int("num_filters", num_filters, least=1))
        self.num_filters, self.sample_rate = num_filters, check_sample_rate(sample_rate)
        self.stride = check_int("stride", stride, least=1)
        self.rate, self.grid = Fraction(1, stride), stride
        self.tail = samples_of("tail", None, 0.039, sample_rate)
        top = 0.45 * sample_rate if f_max is None else f_max
        self.f_min, self.f_max = check_band(f_min, top, sample_rate, least=1.0)
        with real_tensors():
            ends = to_erb_rate(torch.tensor([self.f_min, self.f_max], dtype=torch.float64))
            steps = torch.linspace(ends[0].item(), ends[1].item(), num_filters, dtype=torch.float64)
            centres = from_erb_rate(steps).clamp(self.f_min, self.f_max).float()
        self.freq = BoundedHyperparam(centres, self.f_min, self.f_max, log=True, device=device)
        self.width = BoundedHyperparam(1.019, 0.25, 4.0, shape=(num_filters,), log=True, device=device)

    @property
    def period(self) -> int:
        """The samples from one value to the next."""
        return self.stride

    def power(self, n_fft: int) -> Tensor:  # noqa: D102
        freq, width = self.freq(), self.width()
        decay = 2 * math.pi * width * erb(freq) / self.sample_rate
        turn = torch.arange(n_fft // 2 + 1, dtype=freq.dtype, device=freq.device).unsqueeze(1) / n_fft
        both = torch.stack([turn, -turn])
        # |1 - p exp(-i w)|^2 = (1 - |p|)^2 + 4 |p| sin^2((w - angle of p) / 2)
        apart = 4 * torch.exp(-decay) * torch.sin(math.pi * (both - freq / self.sample_rate)).square()
        gain = torch.expm1(-decay).square()
        return ((gain / (gain + apart)) ** _ORDER).mean(0)

    def process(  # noqa: D102
        self, x: Tensor, memory: tuple[Tensor, Tensor] | None, timeline: Timeline
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        last, state = (None, None) if memory is None else memory
        kept, segments = self.stride - 1, timeline.segments
        seen = with_history(x, last, kept)
        bank, matrix = self._block(torch.promote_types(x.dtype, torch.float32))
        position = None if segments is None else segments.position
        u = analysis(
            seen.to(bank.dtype), bank, self.stride, history=kept, phase=timeline.phase, position=position
        ).unflatten(-1, (2 * _ORDER, self.num_filters))
        after = timeline.resampled(self.rate).segments
        states, state = recur_coupled(u, matrix, state, None if after is None else after.position == 0)
        z = states[:, :, _ORDER - 1 :: _ORDER].flatten(2)
        return z.to(x.dtype), (latest(seen, kept, segments), state)

    def _block(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """How the states, four complex ones a filter, change over `stride` samples.

        With g = 1 - |p|, state j gets g^j C(m + j - 1, j - 1) p^m of the sample m before the last one, and
        g^(j-i) C(s + j - i - 1, j - i) p^s of state i.

        Returns:
            The taps, (8 * num_filters, stride), and the matrix, (8, 8, num_filters): the real parts of all states
            come before the imaginary parts.
        """
        freq, width = self.freq().to(dtype), self.width().to(dtype)
        decay = 2 * math.pi * width * erb(freq) / self.sample_rate
        angle, gain = 2 * math.pi * freq / self.sample_rate, -torch.expm1(-decay)
        ages = torch.arange(self.stride + 1, dtype=dtype, device=freq.device).unsqueeze(1)
        radius = torch.exp(-decay * ages)
        real, imaginary = radius * torch.cos(angle * ages), radius * torch.sin(angle * ages)
        powers = torch.stack([gain**j for j in range(_ORDER + 1)])

        taps = torch.stack([_choose(ages[:-1] + j, j) * powers[j + 1] for j in range(_ORDER)])
        bank = torch.cat([taps * real[:-1], taps * imaginary[:-1]])  # (8, stride, num_filters)
        nothing = torch.zeros_like(gain)
        shares = torch.stack(
            [
                torch.stack([_choose(ages[-1] + (j - i - 1), j - i) * powers[j - i] if i <= j else nothing
                             for i in range(_ORDER)])
                for j in range(_ORDER)
            ]
        )  # fmt: skip
        turned, across = shares * real[-1], shares * imaginary[-1]
        matrix = torch.cat([torch.cat([turned, -across], 1), torch.cat([across, turned], 1)])
        return bank.transpose(1, 2).flatten(0, 1), matrix

    def extra_repr(self) -> str:  # noqa: D102
        return f"{self.num_filters}, sample_rate={self.sample_rate}, stride={self.stride}"


def _choose(n: Tensor, k: int) -> Tensor:
    """Binomial coefficients, n choose k."""
    result = torch.ones_like(n)
    for i in range(k):
        result = result * (n - i) / (i + 1)
    return result


class Gammatone(Chain):
    """The energies of gammatone filters, a model of the bands of the ear.

        e[n, k] = sum_m  w_k[m] * |z_k[n hop / stride - m]|^2,    z as of `GammatoneFilters`, w as of `BandEnergy`

    Args:
        num_filters: The number of filters, at least 1.
        sample_rate: In Hz.
        hop_length: Samples from one output to the next. None: 10 ms.
        pool_length: The length of the window that averages the energies, in samples. None: 25 ms.
        stride: Samples from one value of the filters to the next, a divisor of hop_length. None: the greatest up to
            hop_length / 16. The energy of a narrow band changes slowly; 1 computes all.
        f_min: As of `GammatoneFilters`.
        f_max: As of `GammatoneFilters`.
        device: The device of the hyperparameters.

    Shape:
        (batch, time, 1) -> (batch, ceil(time / hop_length), num_filters), in the same dtype.

    Raises:
        TypeError, ValueError: If an argument is not as described.

    Example:
        >>> bank = Gammatone(20, 16000)
        >>> bank(torch.randn(1, 1600, 1)).shape
        torch.Size([1, 10, 20])

    References:
        V. Hohmann, Frequency analysis and synthesis using a Gammatone filterbank, Acta Acustica 88, 2002, p. 433.
    """

    def __init__(
        self,
        num_filters: int = 40,
        sample_rate: int = 16000,
        hop_length: int | None = None,
        pool_length: int | None = None,
        *,
        stride: int | None = None,
        f_min: float = 60.0,
        f_max: float | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        hop = samples_of("hop_length", hop_length, 0.010, check_sample_rate(sample_rate))
        every = stride_of(stride, hop)
        pool = -(-samples_of("pool_length", pool_length, 0.025, sample_rate) // every)
        super().__init__(
            GammatoneFilters(num_filters, sample_rate, every, f_min=f_min, f_max=f_max, device=device),
            BandEnergy(num_filters, hop // every, pool, device=device),
        )


class GammatoneBank(BandBank):
    """The energies of windowed frames behind learned gammatone filters.

        e[n, k] = sum_t |(g_k * u_n)[t]|^2 / sum_i w[i]^2,   g as of `GammatoneFilters`
        u_n[i] = w[i] x[hop n - (N - 1) + i],    N = win_length

    The energies come from the spectra of the frames. A training step costs up to three times that of a mel spectrogram,
    and a small part of that of `Gammatone`, which applies the window after the filters.

    Args:
        num_filters: The number of filters, at least 1.
        sample_rate: In Hz.
        win_length: The length of a frame in samples. None: 25 ms.
        hop_length: Samples from one frame to the next. None: 10 ms.
        f_min: As of `GammatoneFilters`.
        f_max: As of `GammatoneFilters`.
        device: The device of the hyperparameters and the window.
        dtype: The dtype of the window; float32 at least.

    Shape:
        (batch, time, 1) -> (batch, ceil(time / hop_length), num_filters), in the same dtype.

    Raises:
        TypeError, ValueError: If an argument is not as described.

    Example:
        >>> bank = GammatoneBank(40, 16000)
        >>> bank(torch.randn(1, 16000, 1)).shape
        torch.Size([1, 100, 40])

    References:
        V. Hohmann, Frequency analysis and synthesis using a Gammatone filterbank, Acta Acustica 88, 2002, p. 433.
    """

    def __init__(
        self,
        num_filters: int = 40,
        sample_rate: int = 16000,
        win_length: int | None = None,
        hop_length: int | None = None,
        *,
        f_min: float = 60.0,
        f_max: float | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        filters = GammatoneFilters(num_filters, sample_rate, f_min=f_min, f_max=f_max, device=device)
        super().__init__(filters, sample_rate, win_length, hop_length, device, dtype)

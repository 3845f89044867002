"""SincNet's band-pass filters, with edges learned within bounds."""

import math

import torch
from torch import Tensor

from dsptorch.audio.band_bank import BandBank
from dsptorch.audio.bands import BandFilters
from dsptorch.audio.scales import mel_corners
from dsptorch.functional.windows import get_window
from dsptorch.hyperparams import BoundedHyperparam, real_tensors

__all__ = ["SincBank", "SincFilters"]

NARROWEST = 10.0
"""The narrowest band in Hz."""


class SincFilters(BandFilters):
    """Filter a waveform by windowed ideal band-pass filters and keep every `stride`-th value.

        g_k[m] = b_k sinc(b_k t) exp(pi i (f1_k + f2_k) t) hamming[m] / sample_rate,    b_k = f2_k - f1_k
        t = (m - (W - 1) / 2) / sample_rate

    2 Re g_k is SincNet's filter, 2 f2 sinc(2 f2 t) - 2 f1 sinc(2 f1 t); the imaginary part makes the energy of a tone
    constant over time. The learned values are f1 and the share of the range above f1 up to f_max, so f1 < f2 <= f_max
    holds for all parameters.

    Args:
        num_filters: The number of filters, at least 1.
        sample_rate: The sample rate in Hz.
        filter_length: The number of taps W. None takes 25 ms plus one tap.
        stride: Samples from one value to the next, at least 1.
        f_min: The lowest edge in Hz, at least 1.
        f_max: The highest edge in Hz; None for half the sample rate.
        device: The device of the hyperparameters.

    Attributes:
        low: f1_k in Hz, in [f_min, f_max - 10].
        share: (f2_k - f1_k - 10) / (f_max - f1_k - 10), in [0.001, 1].

    Shape:
        (batch, time, 1) -> (batch, ceil(time / stride), 2 * num_filters), the real parts before the imaginary ones.

    Raises:
        TypeError, ValueError: If an argument is not as described.

    Example:
        >>> filters = SincFilters(8, 16000, stride=20)
        >>> filters(torch.randn(1, 400, 1)).shape
        torch.Size([1, 20, 16])
        >>> low, high = filters.edges()
        >>> bool((low < high).all())
        True

    References:
        M. Ravanelli and Y. Bengio, Speaker Recognition from Raw Waveform with SincNet, 2018, arXiv 1808.00158, sec. 2,
        eq. 4 to 7.
    """

    window: Tensor

    def __init__(
        self,
        num_filters: int,
        sample_rate: int = 16000,
        filter_length: int | None = None,
        stride: int = 1,
        *,
        f_min: float = 60.0,
        f_max: float | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__(num_filters, sample_rate, filter_length, stride, f_min, f_max)
        low, high, length = self.f_min, self.f_max, self.filter_length
        if high - low <= 2 * NARROWEST:
            raise ValueError(
                f"f_max must be over f_min + {2 * NARROWEST:g} Hz, got f_min={low:g} and f_max={high:g}"
            )
        with real_tensors():
            edges = mel_corners(low, high, num_filters).float()
            first = edges[:-2].clamp(low, high - NARROWEST)
            share = ((edges[2:] - first - NARROWEST) / (high - first - NARROWEST)).clamp(0.001, 1.0)
            self._first_window = get_window("hamming", length)
        self.low = BoundedHyperparam(first, low, high - NARROWEST, log=True, device=device)
        self.share = BoundedHyperparam(share, 0.001, 1.0, log=True, device=device)
        self.register_buffer("window", torch.empty(length, device=device, dtype=torch.float32))
        self.set_first_values()

    def first_values(self) -> dict[str, Tensor]:  # noqa: D102
        return {"window": self._first_window}

    def edges(self) -> tuple[Tensor, Tensor]:
        """The lower and upper edges in Hz, (num_filters,) each."""
        low = self.low()
        return low, low + NARROWEST + (self.f_max - low - NARROWEST) * self.share()

    def filters(self) -> tuple[Tensor, Tensor]:  # noqa: D102
        low, high = (edge.unsqueeze(1) for edge in self.edges())
        t = self.times(low) / self.sample_rate
        shape = (high - low) / self.sample_rate * _sinc((high - low) * t) * self.window.to(low)
        angle = math.pi * (low + high) * t
        return shape * torch.cos(angle), shape * torch.sin(angle)


def _sinc(t: Tensor) -> Tensor:
    """`torch.sinc` with a finite second derivative at 0."""
    apart = t != 0
    angle = math.pi * torch.where(apart, t, 1.0)
    return torch.where(apart, torch.sin(angle) / angle, 1.0)


class SincBank(BandBank):
    """Compute the energies of windowed frames after learned band-pass filters.

        e[n, k] = sum_t |(g_k * u_n)[t]|^2 / sum_i w[i]^2,   g as of `SincFilters`
        u_n[i] = w[i] x[hop n - (N - 1) + i],    N = win_length

    Args:
        num_filters: The number of filters, at least 1.
        sample_rate: The sample rate in Hz.
        win_length: The length of a frame in samples; None for 25 ms.
        hop_length: Samples from one frame to the next; None for 10 ms.
        filter_length: The number of taps of the filters; None for 25 ms plus one tap.
        f_min: See `SincFilters`.
        f_max: See `SincFilters`.
        device: The device of the hyperparameters and the windows.
        dtype: The dtype of the window, float32 at least.

    Shape:
        (batch, time, 1) -> (batch, ceil(time / hop_length), num_filters), in the same dtype.

    Raises:
        TypeError, ValueError: If an argument is not as described.

    Example:
        >>> bank = SincBank(40, 16000)
        >>> bank(torch.randn(1, 16000, 1)).shape
        torch.Size([1, 100, 40])

    References:
        M. Ravanelli and Y. Bengio, Speaker Recognition from Raw Waveform with SincNet, 2018, arXiv 1808.00158, sec. 2.
    """

    def __init__(
        self,
        num_filters: int = 40,
        sample_rate: int = 16000,
        win_length: int | None = None,
        hop_length: int | None = None,
        *,
        filter_length: int | None = None,
        f_min: float = 60.0,
        f_max: float | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        filters = SincFilters(
            num_filters, sample_rate, filter_length, f_min=f_min, f_max=f_max, device=device
        )
        super().__init__(filters, sample_rate, win_length, hop_length, device, dtype)

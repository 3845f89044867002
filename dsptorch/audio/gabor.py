"""LEAF's Gabor filters, which learn their frequencies and bandwidths within bounds."""

import math

import torch
from torch import Tensor

from dsptorch.audio.band_bank import BandBank
from dsptorch.audio.bands import BandFilters
from dsptorch.audio.scales import mel_corners
from dsptorch.hyperparams import BoundedHyperparam, real_tensors

__all__ = ["GaborBank", "GaborFilters"]

HALF_WIDTH = math.sqrt(2 * math.log(2))
"""The half width at half maximum of a Gaussian of standard deviation 1."""


class GaborFilters(BandFilters):
    """Filter a waveform by complex exponentials under Gaussian windows, and keep every `stride`-th value.

        g_k[m] = exp(2 pi i f_k t) exp(-t^2 / (2 s_k^2)) / (sqrt(2 pi) s_k),   t = (m - (W - 1) / 2) / sample_rate
        s_k = sqrt(2 ln 2) / (pi b_k)

    f_k is the centre frequency, and b_k the width in Hz at which the response has fallen to half. Both learn on a
    logarithmic scale and never leave their bounds, so no gradient dies there.

    Args:
        num_filters: The number of filters, at least 1.
        sample_rate: In Hz.
        filter_length: Taps, W. None: 25 ms, and one more.
        stride: Samples from one value to the next, at least 1.
        f_min: Where the lowest filter of the mel scale begins, in Hz, at least 1.
        f_max: Where the highest one ends; None: half of the sample rate.
        device: The device of the hyperparameters.

    Attributes:
        freq: f_k in Hz, in [f_min, f_max]; at first the centres of the mel bands.
        bandwidth: b_k in Hz, between that of a window as long as the filter and f_max / 2; at first that of the mel
            bands.

    Shape:
        (batch, time, 1) -> (batch, ceil(time / stride), 2 * num_filters), the real parts before the imaginary ones.

    Raises:
        TypeError, ValueError: If an argument is not as described.

    Example:
        >>> filters = GaborFilters(8, 16000, stride=20)
        >>> filters(torch.randn(1, 400, 1)).shape
        torch.Size([1, 20, 16])
        >>> filters.freq.value.round()[:4]
        tensor([ 296.,  606., 1013., 1546.])

    References:
        N. Zeghidour et al., LEAF: A Learnable Frontend for Audio Classification, 2021, arXiv 2101.08596, sec. 3.1.
    """

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
        with real_tensors():
            corners = mel_corners(low, high, num_filters)
            centres, widths = corners[1:-1].float(), (corners[2:] - corners[:-2]).float() / 2
        # A window of 2 standard deviations to each side fits into the filter at least.
        narrow, wide = HALF_WIDTH / math.pi * 4 * sample_rate / length, high / 2
        if narrow >= wide:
            raise ValueError(
                f"filter_length must be longer than {length} samples for bands up to {high:g} Hz; raise it"
            )
        self.freq = BoundedHyperparam(centres, low, high, log=True, device=device)
        self.bandwidth = BoundedHyperparam(widths.clamp(narrow, wide), narrow, wide, log=True, device=device)

    def filters(self) -> tuple[Tensor, Tensor]:  # noqa: D102
        freq, spread = self.freq().unsqueeze(1), HALF_WIDTH / (math.pi * self.bandwidth().unsqueeze(1))
        t = self.times(freq) / self.sample_rate
        window = torch.exp(-0.5 * (t / spread).square()) / (
            math.sqrt(2 * math.pi) * self.sample_rate * spread
        )
        angle = 2 * math.pi * freq * t
        return window * torch.cos(angle), window * torch.sin(angle)


class GaborBank(BandBank):
    """The energies of windowed frames behind learned Gabor filters.

        e[n, k] = sum_t |(g_k * u_n)[t]|^2 / sum_i w[i]^2,   g as of `GaborFilters`
        u_n[i] = w[i] x[hop n - (N - 1) + i],    N = win_length

    It is the front end of LEAF with the window before the filters, at the cost of a mel spectrogram: the energies come
    from the spectra of the frames. With the window after them, as in the paper, it is
    ``Chain(GaborFilters(40, 16000, stride=10), BandEnergy(40, 16))``, which takes many times as long. Compression,
    `PCEN` or `LogCompression`, comes after it.

    Args:
        num_filters: The number of filters, at least 1.
        sample_rate: In Hz.
        win_length: The length of a frame in samples. None: 25 ms.
        hop_length: Samples from one frame to the next. None: 10 ms.
        filter_length: Taps of the filters. None: 25 ms, and one more.
        f_min: As of `GaborFilters`.
        f_max: As of `GaborFilters`.
        device: The device of the hyperparameters and the window.
        dtype: The dtype of the window; float32 at least.

    Shape:
        (batch, time, 1) -> (batch, ceil(time / hop_length), num_filters), in the same dtype.

    Raises:
        TypeError, ValueError: If an argument is not as described.

    Example:
        >>> bank = GaborBank(40, 16000)
        >>> bank(torch.randn(1, 16000, 1)).shape, bank.delay
        (torch.Size([1, 100, 40]), Fraction(399, 2))

    References:
        N. Zeghidour et al., LEAF: A Learnable Frontend for Audio Classification, 2021, arXiv 2101.08596, sec. 3.
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
        filters = GaborFilters(
            num_filters, sample_rate, filter_length, f_min=f_min, f_max=f_max, device=device
        )
        super().__init__(filters, sample_rate, win_length, hop_length, device, dtype)

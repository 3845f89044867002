"""The energies of windowed frames after learned band filters, computed from spectra."""

import torch
from torch import Tensor

from dsptorch.audio.bands import ComplexFilters
from dsptorch.audio.stft import SpectralLayer, periodic_window, saturated
from dsptorch.audio.waveform import samples_of
from dsptorch.functional.memo import Memo
from dsptorch.functional.powers import fast_length
from dsptorch.functional.precision import without_autocast
from dsptorch.functional.spectrum import occurrences, squared_magnitude
from dsptorch.functional.timeline import Timeline
from dsptorch.hyperparams import real_tensors

__all__ = ["BandBank"]


class BandBank(SpectralLayer):
    """The energy of each windowed frame after each of K complex filters.

        e[n, k] = sum_t |(g_k * u_n)[t]|^2 / sum_i w[i]^2,   u_n[i] = w[i] x[hop n - (N - 1) + i],   N = win_length
                = sum_f |G_k(f)|^2 |U_n(f)|^2 / (n_fft sum_i w[i]^2),   n_fft >= N + W - 1

    By Parseval's theorem both sums are equal. The layer computes the second one, which costs little more than a mel
    spectrogram. If a filter rings for longer than W - 1 samples, the rest of its response wraps around to the beginning
    of the n_fft samples.

    Args:
        filters: The filters g_k, which ring for W - 1 samples, their `tail`.
        sample_rate: In Hz.
        win_length: The length of a frame in samples. None: 25 ms.
        hop_length: Samples from one frame to the next. None: 10 ms.
        device: The device of the window.
        dtype: Its dtype; float32 at least.
    """

    def __init__(
        self,
        filters: ComplexFilters,
        sample_rate: int,
        win_length: int | None,
        hop_length: int | None,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> None:
        length = samples_of("win_length", win_length, 0.025, sample_rate)
        hop = samples_of("hop_length", hop_length, 0.010, sample_rate)
        with real_tensors():
            taps = periodic_window("hann", length)
        n_fft = fast_length(length + filters.tail)
        super().__init__(filters.num_filters, taps, n_fft, hop, device, dtype)
        self.filters, self._kept = filters, Memo()
        self.set_first_values()

    def bands(self) -> Tensor:
        """What each frequency of a frame counts in each energy, (n_fft // 2 + 1, K)."""
        made_of = [*self.filters.parameters(), *self.filters.buffers(), self.window]
        result: Tensor = self._kept(self._make_bands, made_of)
        return result

    def _make_bands(self) -> Tensor:
        power = self.filters.power(self.n_fft)
        share = occurrences(self.n_fft, power) / (self.n_fft * self.window.to(power.dtype).square().sum())
        return power * share.unsqueeze(1)

    def process(self, x: Tensor, memory: Tensor | None, timeline: Timeline) -> tuple[Tensor, Tensor]:  # noqa: D102
        spectra, memory = self.spectra(x, memory, timeline)
        energies = squared_magnitude(spectra)
        with without_autocast(x):
            y = energies @ self.bands().to(energies.dtype)
        return saturated(y, x.dtype), memory

    def extra_repr(self) -> str:  # noqa: D102
        return f"win_length={self.receptive_field}, hop_length={self.hop_length}"

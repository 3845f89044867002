"""The mel spectrogram."""

import torch
from torch import Tensor

from dsptorch.audio.scales import mel_filters
from dsptorch.audio.stft import SpectralLayer, check_window, periodic_window, root, saturated
from dsptorch.audio.waveform import check_band, check_sample_rate, samples_of
from dsptorch.functional.powers import power_of_two
from dsptorch.functional.precision import without_autocast
from dsptorch.functional.spectrum import squared_magnitude
from dsptorch.functional.timeline import Timeline
from dsptorch.functional.validate import check_int
from dsptorch.hyperparams import real_tensors

__all__ = ["MelSpectrogram"]


class MelSpectrogram(SpectralLayer):
    """Sum the energies of a spectrogram in bands that are evenly spread over the mel scale.

        y[n, k] = sum_f  w_k(f) * |Y[n, f]|^power,    Y as of `STFT`, w_k as of `dsptorch.audio.mel_filters`

    It equals ``torchaudio.transforms.MelSpectrogram(center=False)``, frame by frame: the frame that ends at a sample.

    Args:
        sample_rate: In Hz.
        n_fft: The length of the DFT. None: the first power of 2 that holds the window.
        win_length: The length of the window in samples, which is that of a frame. None: n_fft, or 25 ms if that is
            None too.
        hop_length: Samples from one frame to the next. None: 10 ms.
        f_min: The lower end of the lowest band in Hz, at least 0.
        f_max: The upper end of the highest band in Hz; None: half of the sample rate.
        n_mels: The number of bands, at least 1.
        window: As of `STFT`.
        power: 2.0: of energies; 1.0: of magnitudes.
        norm: "slaney": each band is divided by its width. None: the triangles have their peak at 1.
        mel_scale: "htk" or "slaney".
        device: The device of the window and of the bands.
        dtype: Their dtype; float32 at least.

    Shape:
        (batch, time, 1) -> (batch, ceil(time / hop_length), n_mels), in the same dtype.

    Raises:
        TypeError, ValueError: If an argument is not as described, or a band would have no frequency of the DFT in it.

    Example:
        >>> layer = MelSpectrogram(16000)
        >>> layer(torch.randn(1, 16000, 1)).shape
        torch.Size([1, 100, 64])

    References:
        S. B. Davis and P. Mermelstein, Comparison of Parametric Representations for Monosyllabic Word Recognition in
        Continuously Spoken Sentences, IEEE Trans. ASSP 28(4), 1980, p. 357.
    """

    bands: Tensor

    def __init__(
        self,
        sample_rate: int = 16000,
        n_fft: int | None = None,
        win_length: int | None = None,
        hop_length: int | None = None,
        f_min: float = 0.0,
        f_max: float | None = None,
        n_mels: int = 64,
        *,
        window: str | tuple[str, float] = "hann",
        power: float = 2.0,
        norm: str | None = None,
        mel_scale: str = "htk",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_sample_rate(sample_rate)
        if n_fft is not None and win_length is None:
            win_length = n_fft
        length = samples_of("win_length", win_length, 0.025, sample_rate)
        n_fft = power_of_two(length) if n_fft is None else check_int("n_fft", n_fft, least=1)
        hop = samples_of("hop_length", hop_length, 0.010, sample_rate)
        with real_tensors():
            taps = periodic_window(window, check_window("win_length", length, n_fft))
        super().__init__(check_int("n_mels", n_mels, least=1), taps, n_fft, hop, device, dtype)
        self.sample_rate, self.win_length = sample_rate, length
        if power not in (1.0, 2.0):
            raise ValueError(f"power must be 1.0 or 2.0, got {power!r}")
        low, high = check_band(f_min, f_max, sample_rate)
        self.power = power
        self.f_min, self.f_max, self.n_mels, self.norm, self.mel_scale = low, high, n_mels, norm, mel_scale
        with real_tensors():
            self._first_bands = mel_filters(
                n_fft // 2 + 1, low, high, n_mels, sample_rate, norm=norm, mel_scale=mel_scale
            )
        shape, dtype = self._first_bands.shape, self.window.dtype
        self.register_buffer("bands", torch.empty(shape, device=device, dtype=dtype))
        self.set_first_values()

    def first_values(self) -> dict[str, Tensor]:  # noqa: D102
        return {**super().first_values(), "bands": self._first_bands}

    def process(self, x: Tensor, memory: Tensor | None, timeline: Timeline) -> tuple[Tensor, Tensor]:  # noqa: D102
        spectra, memory = self.spectra(x, memory, timeline)
        y = squared_magnitude(spectra)
        with without_autocast(x):
            y = (root(y) if self.power == 1 else y) @ self.bands.to(y.dtype)
        return saturated(y, x.dtype), memory

    def extra_repr(self) -> str:  # noqa: D102
        return (
            f"{self.sample_rate}, n_fft={self.n_fft}, win_length={self.win_length}, hop_length={self.hop_length}, "
            f"f_min={self.f_min:g}, f_max={self.f_max:g}, n_mels={self.n_mels}, mel_scale={self.mel_scale}"
        )

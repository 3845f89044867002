"""The short-time Fourier transform, causal."""

from collections.abc import Callable
from fractions import Fraction

import torch
import torch.nn.functional as F
from torch import Tensor

from dsptorch.audio.waveform import OnWaveforms
from dsptorch.functional.filtering import latest, with_history
from dsptorch.functional.precision import at_least_single, without_autocast
from dsptorch.functional.sliding import sliding_frames
from dsptorch.functional.spectrum import real_spectrum, squared_magnitude
from dsptorch.functional.timeline import Timeline
from dsptorch.functional.validate import check_int
from dsptorch.functional.windows import get_window
from dsptorch.hyperparams import at_least_float32, real_tensors
from dsptorch.layers.base import whole

__all__ = ["STFT", "SpectralLayer"]


class SpectralLayer(OnWaveforms):
    """A layer on the spectra of windowed frames, which end at every `hop_length`-th sample.

    Args:
        d_out: The width of the output.
        taps: The window, as long as a frame, float64.
        n_fft: The length of the DFT, at least that of a frame. Shorter frames are padded with zeros.
        hop_length: Samples from one frame to the next, at least 1.
        device: The device of the window.
        dtype: Its dtype; float32 at least.
    """

    window: Tensor

    def __init__(
        self,
        d_out: int,
        taps: Tensor,
        n_fft: int,
        hop_length: int,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> None:
        super().__init__(d_out)
        self.n_fft, self.hop_length = n_fft, check_int("hop_length", hop_length, least=1)
        self.rate, self.grid = Fraction(1, hop_length), hop_length
        self._first_window = taps
        dtype = torch.promote_types(dtype or torch.get_default_dtype(), torch.float32)
        self.register_buffer("window", torch.empty(len(taps), device=device, dtype=dtype))

    def first_values(self) -> dict[str, Tensor]:  # noqa: D102
        return {"window": self._first_window}

    @property
    def delay(self) -> int | Fraction:
        """Half the length of a frame."""
        return whole(Fraction(self.receptive_field - 1, 2))

    @property
    def period(self) -> int:
        """The samples from one frame to the next."""
        return self.hop_length

    @property
    def receptive_field(self) -> int:
        """The samples of a frame."""
        return len(self._first_window)

    def spectra(self, x: Tensor, memory: Tensor | None, timeline: Timeline) -> tuple[Tensor, Tensor]:
        """The spectra of the frames that are due, (batch, frames, n_fft // 2 + 1), and what to remember."""
        size = self.receptive_field
        seen = with_history(x, memory, size - 1)
        frames = sliding_frames(seen.squeeze(-1), size, self.hop_length, timeline)
        with without_autocast(x):
            spectra = real_spectrum(at_least_single(frames) * self.window, self.n_fft)
        return spectra, latest(seen, size - 1, timeline.segments)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "SpectralLayer":
        super()._apply(at_least_float32(fn), recurse)  # type: ignore[no-untyped-call]
        return self


class STFT(SpectralLayer):
    """Take the spectrum of a windowed frame at every `hop_length`-th sample.

        Y[n, k] = sum_i  window[i] * x[hop n - (N - 1) + i] * exp(-2 pi i k i / N),    N = n_fft

    Frame n ends at sample hop * n, so that the layer is causal; its middle is (N - 1) / 2 samples earlier, the delay.
    It is the frame of ``torch.stft(center=False)`` that begins at that sample.

    Args:
        n_fft: The length of the DFT, N, at least 1.
        win_length: The length of the window, in [1, n_fft]; None: n_fft. It stands in the middle of the frame.
        hop_length: Samples from one frame to the next, at least 1; None: a quarter of win_length.
        window: "hann", "hamming", "blackman", "boxcar" or ("kaiser", beta); periodic.
        power: 2.0: squared magnitudes. 1.0: magnitudes. None: the real parts of all bins, and then the imaginary
            ones; `to_complex` makes complex numbers of them.
        device: The device of the window.
        dtype: Its dtype; float32 at least.

    Shape:
        (batch, time, 1) -> (batch, ceil(time / hop_length), n_fft // 2 + 1), or twice as wide for ``power=None``, in
        the same dtype.

    Raises:
        TypeError, ValueError: If an argument is not as described.

    Example:
        >>> layer = STFT(400, hop_length=160)
        >>> layer(torch.randn(1, 16000, 1)).shape, layer.delay
        (torch.Size([1, 100, 402]), Fraction(399, 2))

    References:
        J. B. Allen and L. R. Rabiner, A Unified Approach to Short-Time Fourier Analysis and Synthesis, Proc. IEEE
        65(11), 1977, p. 1558.
    """

    def __init__(
        self,
        n_fft: int = 512,
        win_length: int | None = None,
        hop_length: int | None = None,
        *,
        window: str | tuple[str, float] = "hann",
        power: float | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        bins = check_int("n_fft", n_fft, least=1) // 2 + 1
        length = check_window("win_length", n_fft if win_length is None else win_length, n_fft)
        hop = max(1, length // 4) if hop_length is None else hop_length
        with real_tensors():
            left = (n_fft - length) // 2
            taps = F.pad(periodic_window(window, length), (left, n_fft - length - left))
        super().__init__(bins * (2 if power is None else 1), taps, n_fft, hop, device, dtype)
        self.win_length = length
        if power not in (None, 1.0, 2.0):
            raise ValueError(f"power must be 1.0, 2.0 or None, got {power!r}")
        self.power = power
        self.set_first_values()

    def process(self, x: Tensor, memory: Tensor | None, timeline: Timeline) -> tuple[Tensor, Tensor]:  # noqa: D102
        spectra, memory = self.spectra(x, memory, timeline)
        if self.power is None:
            y = torch.cat([spectra.real, spectra.imag], -1)
        else:
            y = squared_magnitude(spectra)
            y = root(y) if self.power == 1 else y
        return saturated(y, x.dtype), memory

    @staticmethod
    def to_complex(y: Tensor) -> Tensor:
        """The output for ``power=None`` as complex numbers, (batch, frames, n_fft // 2 + 1)."""
        return torch.complex(*at_least_single(y).chunk(2, -1))

    def extra_repr(self) -> str:  # noqa: D102
        return f"{self.n_fft}, win_length={self.win_length}, hop_length={self.hop_length}, power={self.power}"


def check_window(name: str, length: object, n_fft: int) -> int:
    """Return the length of a window, or raise."""
    length = check_int(name, length, least=1)
    if length > n_fft:
        raise ValueError(f"{name} must be at most n_fft={n_fft}, got {length}; raise n_fft")
    return length


def periodic_window(window: str | tuple[str, float], length: int) -> Tensor:
    """One period of a window, as `torch.hann_window` returns it by default, float64."""
    return get_window(window, length + 1)[:-1]


def root(y: Tensor) -> Tensor:
    """The square root, with the gradient 0 at 0."""
    positive = y > 0
    return torch.where(positive, y, 1.0).sqrt() * positive


def saturated(y: Tensor, dtype: torch.dtype) -> Tensor:
    """Convert to a dtype. In float16, larger numbers become the largest finite one."""
    if dtype == torch.float16:
        most = torch.finfo(dtype).max
        y = y.clamp(-most, most)
    return y.to(dtype)

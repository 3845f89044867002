"""Change the sample rate of a waveform."""

import math
from collections.abc import Callable
from fractions import Fraction

import torch
from torch import Tensor

from dsptorch.audio.waveform import check_waveform
from dsptorch.functional.validate import check_int
from dsptorch.hyperparams import at_least_float32, real_tensors
from dsptorch.layers.base import whole
from dsptorch.layers.resample import Resampler

__all__ = ["Resample"]

_MOST_TAPS = 2**20


class Resample(Resampler):
    """Change the sample rate of a waveform with a windowed sinc filter.

        y[n] = sum_k  h(n / new_freq - (k + delay) / orig_freq) x[k],    f = rolloff min(orig_freq, new_freq)
        h(t) = f / orig_freq sinc(f t) cos(pi f t / (2 width))^2,    |f t| <= width

    It equals ``torchaudio.functional.resample`` with a delay of a whole number of outputs: output n + d equals its
    output n, where d = delay * rate.

    Args:
        orig_freq: The sample rate of the input in Hz, at least 1.
        new_freq: The sample rate of the output in Hz, at least 1.
        lowpass_filter_width: Number of zeros of the sinc on each side, at least 1. More zeros give a sharper filter.
        rolloff: The cutoff as a share of the lower Nyquist frequency, in (0, 1].
        device: The device of the taps.
        dtype: The dtype of the taps, float32 at least.

    Shape:
        (batch, time, 1) -> (batch, ceil(time * new_freq / orig_freq), 1), in the same dtype.

    Raises:
        TypeError, ValueError: If an argument is not as described, or the filter would have more than 2**20 taps.

    Example:
        >>> layer = Resample(44100, 16000)
        >>> layer(torch.randn(1, 4410, 1)).shape, layer.delay * layer.rate
        (torch.Size([1, 1600, 1]), Fraction(7, 1))

    References:
        J. O. Smith, Digital Audio Resampling, https://ccrma.stanford.edu/~jos/resample, 2002 (windowed sinc).
    """

    filter: Tensor

    def __init__(
        self,
        orig_freq: int,
        new_freq: int,
        lowpass_filter_width: int = 6,
        rolloff: float = 0.99,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        rate = Fraction(check_int("new_freq", new_freq, least=1), check_int("orig_freq", orig_freq, least=1))
        width = check_int("lowpass_filter_width", lowpass_filter_width, least=1)
        if isinstance(rolloff, bool) or not isinstance(rolloff, (int, float)) or not 0 < rolloff <= 1:
            raise ValueError(f"rolloff must be a number in (0, 1], got {rolloff!r}")
        with real_tensors():
            taps, late = _taps(rate.numerator, rate.denominator, width, float(rolloff))
        super().__init__(1, rate.numerator, rate.denominator, len(taps), whole(late / rate))
        self.orig_freq, self.new_freq = orig_freq, new_freq
        self._first = taps
        dtype = torch.promote_types(dtype or torch.get_default_dtype(), torch.float32)
        self.register_buffer("filter", torch.empty(len(taps), device=device, dtype=dtype))
        self.set_first_values()

    def first_values(self) -> dict[str, Tensor]:  # noqa: D102
        return {"filter": self._first}

    def taps(self) -> Tensor:
        """The fixed taps, (numtaps,)."""
        return self.filter

    def _check(self, x: Tensor) -> None:
        check_waveform(x, type(self).__name__)

    def extra_repr(self) -> str:  # noqa: D102
        return f"{self.orig_freq}, {self.new_freq}"

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Resample":
        super()._apply(at_least_float32(fn), recurse)  # type: ignore[no-untyped-call]
        return self


def _taps(up: int, down: int, width: int, rolloff: float) -> tuple[Tensor, Fraction]:
    """The taps at `up` times the rate of the input, and their delay in outputs."""
    if up == down:
        return torch.ones(1, dtype=torch.float64), Fraction(0)
    cutoff = rolloff / max(up, down)  # in zeros of the sinc a tap
    late = math.ceil(math.floor(width / cutoff) / down)
    if 2 * late * down + 1 > _MOST_TAPS:
        raise ValueError(
            f"resampling by {up}/{down} takes a filter of {2 * late * down + 1} taps, more than {_MOST_TAPS}; take a "
            "ratio of smaller numbers, or two stages"
        )
    t = cutoff * torch.arange(-late * down, late * down + 1, dtype=torch.float64)
    window = torch.cos(math.pi * t.clamp(-width, width) / (2 * width)).square()
    return rolloff * min(up, down) / down * torch.sinc(t) * window, Fraction(late)

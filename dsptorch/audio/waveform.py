"""The common base of layers on waveforms: the shape (batch, time, 1), and a sample rate in Hz."""

from torch import Tensor

from dsptorch.functional.validate import check_int, describe
from dsptorch.layers import Layer

__all__ = ["OnWaveforms", "check_band", "check_sample_rate", "check_waveform", "samples_of"]


class OnWaveforms(Layer):
    """Base class of causal layers on waveforms with one channel.

    Args:
        d_out: The width of the output.
    """

    lookahead = 0

    def __init__(self, d_out: int) -> None:
        super().__init__(1, d_out)

    def _check(self, x: Tensor) -> None:
        check_waveform(x, type(self).__name__)


def check_waveform(x: object, where: str) -> None:
    """Raise unless x is floating-point (batch, time, 1); the error says how to bring x into this shape."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{where} expects a tensor (batch, time, 1), got {describe(x)}")
    cure = {1: "one waveform is x[None, :, None]", 2: "(batch, time) is x.unsqueeze(-1)"}.get(x.dim())
    if x.dim() == 3 and x.shape[2] != 1:
        if x.shape[1] == 1:
            cure = "(batch, channels, time) is x.transpose(1, 2)"
        elif x.shape[1] < x.shape[2]:
            cure = "several channels, (batch, channels, time), become one by x.mean(1).unsqueeze(-1)"
        else:
            cure = "several channels become one by x.mean(-1, keepdim=True)"
    if cure is not None or x.dim() != 3:
        raise ValueError(
            f"{where} expects waveforms (batch, time, 1), got shape {tuple(x.shape)}"
            + (f"; {cure}" if cure else "")
        )
    if not x.is_floating_point():
        raise TypeError(
            f"{where} expects floating-point samples, got {x.dtype}; 16-bit PCM becomes them by x / 32768"
        )


def check_sample_rate(sample_rate: object) -> int:
    """Check a sample rate in Hz, an int of at least 1, and return it."""
    return check_int("sample_rate", sample_rate, least=1)


def samples_of(name: str, samples: int | None, seconds: float, sample_rate: int) -> int:
    """A length in samples: the given one, or that of a duration in seconds."""
    if samples is None:
        return max(1, round(seconds * sample_rate))
    return check_int(name, samples, least=1)


def check_band(
    f_min: float, f_max: float | None, sample_rate: int, least: float = 0.0
) -> tuple[float, float]:
    """Check a band of frequencies in Hz and return it, up to Nyquist if f_max is None."""
    nyquist = sample_rate / 2
    f_max = nyquist if f_max is None else f_max
    for name, value in {"f_min": f_min, "f_max": f_max}.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError(f"{name} must be a frequency in Hz, got {describe(value)}")
    if not least <= f_min < f_max:
        raise ValueError(f"f_min must be in [{least:g}, f_max) Hz, got f_min={f_min:g} and f_max={f_max:g}")
    if f_max > nyquist:
        raise ValueError(
            f"f_max must be at most {nyquist:g} Hz, half of the sample rate of {sample_rate} Hz, got {f_max:g}"
        )
    return float(f_min), float(f_max)

"""Perceptual frequency scales, and triangular filters on them."""

import math

import torch
from torch import Tensor

__all__ = ["erb", "from_erb_rate", "hz_to_mel", "mel_corners", "mel_filters", "mel_to_hz", "to_erb_rate"]

_LINEAR = 200 / 3  # Hz a mel of Slaney's scale, up to 1000 Hz
_CORNER, _CORNER_MEL = 1000.0, 15.0
_STEP = math.log(6.4) / 27  # above


def hz_to_mel(hz: Tensor, mel_scale: str = "htk") -> Tensor:
    """Convert frequencies from Hz to mel.

        htk:     m = 2595 log10(1 + f / 700)
        slaney:  m = 3 f / 200 up to 1000 Hz,   m = 15 + 27 ln(f / 1000) / ln 6.4 above

    Args:
        hz: Frequencies in Hz, at least 0.
        mel_scale: "htk" or "slaney".

    Raises:
        ValueError: If the scale is unknown.

    Example:
        >>> hz_to_mel(torch.tensor([0.0, 700.0])).round()
        tensor([  0., 781.])

    References:
        S. S. Stevens and J. Volkmann, The Relation of Pitch to Frequency, Am. J. Psychology 53, 1940, p. 329;
        D. O'Shaughnessy, Speech Communication, 1987, p. 150 (htk); M. Slaney, Auditory Toolbox, 1998, p. 29 (slaney).
    """
    if _check_scale(mel_scale) == "htk":
        return 2595 * torch.log10(1 + hz / 700)
    above = _CORNER_MEL + torch.log(hz.clamp_min(_CORNER) / _CORNER) / _STEP
    return torch.where(hz < _CORNER, hz / _LINEAR, above)


def mel_to_hz(mel: Tensor, mel_scale: str = "htk") -> Tensor:
    """Convert frequencies from mel to Hz: the inverse of `hz_to_mel`.

    Example:
        >>> mel_to_hz(torch.tensor([0.0, 15.0]), "slaney").round()
        tensor([   0., 1000.])
    """
    if _check_scale(mel_scale) == "htk":
        return 700 * (10 ** (mel / 2595) - 1)
    above = _CORNER * torch.exp(_STEP * (mel - _CORNER_MEL).clamp_min(0))
    return torch.where(mel < _CORNER_MEL, mel * _LINEAR, above)


def mel_filters(
    n_freqs: int,
    f_min: float,
    f_max: float,
    n_mels: int,
    sample_rate: int,
    *,
    norm: str | None = None,
    mel_scale: str = "htk",
) -> Tensor:
    """Return triangular filters on the frequencies of a DFT, with corners evenly spaced on the mel scale.

        w_k(f) = max(0, min((f - f_k) / (f_{k+1} - f_k), (f_{k+2} - f) / (f_{k+2} - f_{k+1})))

    Args:
        n_freqs: Number of frequencies from 0 to half the sample rate: n_fft // 2 + 1.
        f_min: The lowest corner in Hz.
        f_max: The highest corner in Hz.
        n_mels: The number of triangles.
        sample_rate: The sample rate in Hz.
        norm: "slaney" divides each triangle by its width, so that all have the same area. None gives a peak of 1.
        mel_scale: "htk" or "slaney".

    Shape:
        Output: (n_freqs, n_mels), float64.

    Raises:
        ValueError: If the scale or the norm is unknown, or a triangle lies between two frequencies of the DFT and
            would always give 0.

    Example:
        >>> mel_filters(5, 0.0, 4000.0, 2, 8000)
        tensor([[0.0000, 0.0000],
                [0.6759, 0.3241],
                [0.0000, 0.9055],
                [0.0000, 0.4528],
                [0.0000, 0.0000]], dtype=torch.float64)
    """
    if norm not in (None, "slaney"):
        raise ValueError(f"norm must be 'slaney' or None, got {norm!r}")
    freqs = torch.linspace(0, sample_rate / 2, n_freqs, dtype=torch.float64)
    corners = mel_corners(f_min, f_max, n_mels, mel_scale)
    rising = (freqs.unsqueeze(1) - corners[:-2]) / (corners[1:-1] - corners[:-2])
    falling = (corners[2:] - freqs.unsqueeze(1)) / (corners[2:] - corners[1:-1])
    triangles = torch.minimum(rising, falling).clamp_min(0)
    empty = int((triangles.amax(0) == 0).sum())
    if empty:
        raise ValueError(
            f"n_mels={n_mels} is too many for {n_freqs} frequencies of the DFT: {empty} of the filters lie between two "
            "of them, and would always give 0; take fewer, a greater n_fft, or a greater f_min"
        )
    if norm == "slaney":
        triangles = triangles * (2 / (corners[2:] - corners[:-2]))
    return triangles


def mel_corners(f_min: float, f_max: float, n_mels: int, mel_scale: str = "htk") -> Tensor:
    """The corners in Hz of `n_mels` triangles, which share corners with their neighbours: (n_mels + 2,)."""
    ends = hz_to_mel(torch.tensor([f_min, f_max], dtype=torch.float64), mel_scale)
    return mel_to_hz(
        torch.linspace(ends[0].item(), ends[1].item(), n_mels + 2, dtype=torch.float64), mel_scale
    )


def erb(hz: Tensor) -> Tensor:
    """Return the equivalent rectangular bandwidth of the auditory filter at a frequency, in Hz.

        ERB(f) = 24.7 (4.37 f / 1000 + 1)

    Example:
        >>> erb(torch.tensor([1000.0]))
        tensor([132.6390])

    References:
        B. R. Glasberg and B. C. J. Moore, Derivation of auditory filter shapes from notched-noise data, Hearing
        Research 47, 1990, p. 103, eq. 3.
    """
    return 24.7 * (4.37 * hz / 1000 + 1)


def to_erb_rate(hz: Tensor) -> Tensor:
    """Return the number of auditory filters below a frequency: 21.4 log10(1 + 4.37 f / 1000).

    Example:
        >>> to_erb_rate(torch.tensor([1000.0])).round(decimals=2)
        tensor([15.6200])

    References:
        B. R. Glasberg and B. C. J. Moore, 1990, p. 114, eq. 4.
    """
    return 21.4 * torch.log10(1 + 4.37 * hz / 1000)


def from_erb_rate(rate: Tensor) -> Tensor:
    """Return the frequency of an ERB rate: the inverse of `to_erb_rate`.

    Example:
        >>> from_erb_rate(to_erb_rate(torch.tensor([1000.0]))).round()
        tensor([1000.])
    """
    return (10 ** (rate / 21.4) - 1) * 1000 / 4.37


def _check_scale(mel_scale: str) -> str:
    if mel_scale not in ("htk", "slaney"):
        raise ValueError(f"mel_scale must be 'htk' or 'slaney', got {mel_scale!r}")
    return mel_scale

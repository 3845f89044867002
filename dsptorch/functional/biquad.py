"""Second-order sections by frequency and Q, and by numbers that are stable whatever they are."""

import math

import torch
from torch import Tensor

__all__ = ["BIQUADS", "biquad_sos", "reflected", "reflections"]

BIQUADS = ("lowpass", "highpass", "bandpass", "notch", "allpass")
"""The kinds that `biquad_sos` knows."""


def biquad_sos(kind: str, freq: float | Tensor, q: float | Tensor) -> Tensor:
    """Return the coefficients of a second-order section by its frequency and its quality.

        a1 = -2 cos(w) / (1 + alpha),  a2 = (1 - alpha) / (1 + alpha),   w = 2 pi freq,  alpha = sin(w) / (2 q)

    The poles are inside the unit circle for every freq in (0, 1/2) and every q above 0. The gain is 1 at DC (low-pass
    and notch), at Nyquist (high-pass), at freq (band-pass), or everywhere (all-pass).

    Args:
        kind: "lowpass", "highpass", "bandpass", "notch" or "allpass".
        freq: The corner or centre frequency in cycles per sample, in (0, 1/2).
        q: The quality, above 0: the gain of the low-pass and the high-pass at freq; freq / bandwidth of the others.

    Shape:
        freq, q: any two shapes that broadcast, (channels,) say -> (6, channels), a section as in `sosfilt`: b0, b1, b2,
        1, a1, a2.

    Raises:
        ValueError: If there is no such kind.

    Example:
        >>> sos = biquad_sos("lowpass", 1 / 6, 0.5 ** 0.5)
        >>> sos
        tensor([ 0.1551,  0.3101,  0.1551,  1.0000, -0.6202,  0.2404])

    References:
        R. Bristow-Johnson, Cookbook formulae for audio equalizer biquad filter coefficients, 2005; W3C, Audio EQ
        Cookbook, 2021.
    """
    if kind not in BIQUADS:
        raise ValueError(f"kind must be one of {', '.join(BIQUADS)}, got {kind!r}")
    w, quality = torch.broadcast_tensors(2 * math.pi * torch.as_tensor(freq), torch.as_tensor(q))
    alpha, cosine, one = torch.sin(w) / (2 * quality), torch.cos(w), torch.ones_like(w)
    b: tuple[Tensor, ...]
    if kind == "lowpass":
        half = torch.sin(w / 2).square()  # (1 - cos(w)) / 2, which would cancel
        b = half, 2 * half, half
    elif kind == "highpass":
        half = torch.cos(w / 2).square()
        b = half, -2 * half, half
    elif kind == "bandpass":
        b = alpha, 0 * alpha, -alpha
    elif kind == "notch":
        b = one, -2 * cosine, one
    else:
        b = 1 - alpha, -2 * cosine, 1 + alpha
    norm = 1 + alpha
    return torch.stack([*(tap / norm for tap in b), one, -2 * cosine / norm, (1 - alpha) / norm])


def reflected(k1: Tensor, k2: Tensor, radius: float) -> Tensor:
    """Return the denominator whose reflection coefficients are k1 and k2, its poles scaled by a radius.

        a1 = radius k1 (1 + k2),   a2 = radius^2 k2

    The poles are at `radius` at most for all k1 and k2 in [-1, 1], and every such pair of poles has its k1 and k2.

    Args:
        k1: The first reflection coefficient, in [-1, 1].
        k2: The second, likewise.
        radius: In (0, 1).

    Shape:
        k1, k2: (...) -> (2, ...): a1 and a2.

    Example:
        >>> reflected(torch.tensor(-1.0), torch.tensor(1.0), 0.5)                   # two poles at 0.5
        tensor([-1.0000,  0.2500])

    References:
        J. D. Markel and A. H. Gray, Linear Prediction of Speech, 1976, ch. 5 (the step-up recursion).
    """
    return torch.stack([radius * k1 * (1 + k2), radius**2 * k2])


def reflections(a1: Tensor, a2: Tensor, radius: float) -> tuple[Tensor, Tensor]:
    """Return k1 and k2 of `reflected`: its inverse; outside of [-1, 1] where a pole is further out than the radius.

    Example:
        >>> k1, k2 = reflections(torch.tensor(-1.0), torch.tensor(0.25), 0.5)
        >>> k1, k2
        (tensor(-1.), tensor(1.))
    """
    k2 = a2 / radius**2
    both = radius * (1 + k2)
    return torch.where(both == 0, torch.zeros_like(a1), a1 / both), k2

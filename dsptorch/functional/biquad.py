"""Second-order sections by frequency and Q, and by reflection coefficients, which are always stable."""

import math

import torch
from torch import Tensor

__all__ = ["BIQUADS", "biquad_sos", "reflected", "reflections"]

BIQUADS = ("lowpass", "highpass", "bandpass", "notch", "allpass")
"""The kinds that `biquad_sos` knows."""


def biquad_sos(kind: str, freq: float | Tensor, q: float | Tensor) -> Tensor:
    """Return the coefficients of a second-order section from its frequency and its quality factor.

        a1 = -2 cos(w) / (1 + alpha),  a2 = (1 - alpha) / (1 + alpha),   w = 2 pi freq,  alpha = sin(w) / (2 q)

    The poles are inside the unit circle for every freq in (0, 1/2) and every q above 0. The gain is 1 at DC (low-pass
    and notch), at Nyquist (high-pass), at freq (band-pass), or everywhere (all-pass).

    Args:
        kind: "lowpass", "highpass", "bandpass", "notch" or "allpass".
        freq: The corner or centre frequency in cycles per sample, in (0, 1/2).
        q: The quality factor, above 0. For low-pass and high-pass it is the gain at freq; for the others,
            freq / bandwidth.

    Shape:
        freq, q: two shapes that broadcast, for example (channels,) -> (6, channels): b0, b1, b2, 1, a1, a2, a section
        as in `sosfilt`.

    Raises:
        ValueError: If ``kind`` is unknown.

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
        half = torch.sin(w / 2).square()  # (1 - cos(w)) / 2 without cancellation
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
    """Return the denominator with reflection coefficients k1 and k2, and its poles scaled by a radius.

        a1 = radius k1 (1 + k2),   a2 = radius^2 k2

    For all k1 and k2 in [-1, 1] the poles lie within `radius`, and every pair of poles within it has a k1 and a k2.

    Args:
        k1: The first reflection coefficient, in [-1, 1].
        k2: The second reflection coefficient, in [-1, 1].
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
    """Return k1 and k2 from a1 and a2: the inverse of `reflected`.

    They are outside [-1, 1] where a pole lies outside the radius.

    Example:
        >>> k1, k2 = reflections(torch.tensor(-1.0), torch.tensor(0.25), 0.5)
        >>> k1, k2
        (tensor(-1.), tensor(1.))
    """
    k2 = a2 / radius**2
    both = radius * (1 + k2)
    return torch.where(both == 0, torch.zeros_like(a1), a1 / both), k2

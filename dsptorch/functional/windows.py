"""Symmetric windows for FIR design, named as in scipy."""

import math

import torch
from torch import Tensor

__all__ = ["get_window", "kaiser_beta"]

_COSINE_SERIES = {
    "boxcar": (1.0,),
    "hann": (0.5, 0.5),
    "hamming": (0.54, 0.46),
    "blackman": (0.42, 0.5, 0.08),
}


def get_window(window: str | tuple[str, float], numtaps: int) -> Tensor:
    """Return a symmetric window, equal to ``scipy.signal.get_window(..., fftbins=False)``.

    The named windows are cosine series. The Kaiser window is a ratio of Bessel functions::

        w[n] = sum_k (-1)^k a_k cos(2 pi k n / (N - 1))
        w[n] = I0(beta sqrt(1 - (2n / (N - 1) - 1)^2)) / I0(beta)

    Args:
        window: ``"boxcar"``, ``"hann"``, ``"hamming"``, ``"blackman"``, or ``("kaiser", beta)`` with a finite
            ``beta >= 0`` (0 is the boxcar; a larger beta gives lower sidelobes and a wider transition).
        numtaps: Number of samples N, at least 1.

    Shape:
        Output: ``(numtaps,)``, float64 on the CPU.

    Raises:
        ValueError: If the window is unknown, ``beta`` is negative or not finite, or ``numtaps`` is below 1.

    Example:
        >>> get_window("hann", 5)
        tensor([0.0000, 0.5000, 1.0000, 0.5000, 0.0000], dtype=torch.float64)

    References:
        Harris, "On the use of windows for harmonic analysis with the discrete Fourier transform",
        Proc. IEEE 66, 1978, pages 51-83.
    """
    if numtaps < 1:
        raise ValueError(f"a window needs numtaps >= 1, got {numtaps}")
    if numtaps == 1:
        return torch.ones(1, dtype=torch.float64)
    n = torch.arange(numtaps, dtype=torch.float64)
    if isinstance(window, str) and window in _COSINE_SERIES:
        angle = 2 * math.pi * n / (numtaps - 1)
        terms = [(-1) ** k * a * torch.cos(k * angle) for k, a in enumerate(_COSINE_SERIES[window])]
        return torch.stack(terms).sum(0)
    if isinstance(window, tuple) and len(window) == 2 and window[0] == "kaiser":
        beta = float(window[1])
        if not (math.isfinite(beta) and beta >= 0):
            raise ValueError(f"a Kaiser window needs a finite beta >= 0, got {beta}")
        radius = torch.sqrt((1 - (2 * n / (numtaps - 1) - 1) ** 2).clamp_min(0))
        # exp(-x) I0(x) does not overflow; the exponential removes the scaling.
        peak = torch.special.i0e(torch.tensor(beta, dtype=torch.float64))
        samples: Tensor = torch.special.i0e(beta * radius) / peak * torch.exp(beta * (radius - 1))
        return samples
    known = ", ".join(repr(name) for name in _COSINE_SERIES)
    raise ValueError(f"window must be one of {known} or ('kaiser', beta), got {window!r}")


def kaiser_beta(numtaps: int, width: float) -> float:
    """Return the Kaiser beta that gives a filter of this length the given transition width.

    Args:
        numtaps: Length of the filter.
        width: Transition width, in units of Nyquist.

    Raises:
        ValueError: If ``width`` is not in (0, 1).

    Example:
        >>> round(kaiser_beta(65, 0.1), 3)
        4.98

    References:
        Kaiser, "Nonrecursive digital filter design using the I0-sinh window function", Proc. IEEE ISCAS,
        1974, pages 20-23.
    """
    if not 0 < width < 1:
        raise ValueError(f"a transition width must lie between 0 and Nyquist (0 and 1), got {width}")
    attenuation = 2.285 * (numtaps - 1) * math.pi * width + 7.95
    if attenuation > 50:
        return 0.1102 * (attenuation - 8.7)
    excess = max(attenuation - 21, 0.0)
    return 0.5842 * math.pow(excess, 0.4) + 0.07886 * excess

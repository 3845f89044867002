"""FIR design: windowed sinc, unit gain at DC, half-band and minimum phase.

Cutoffs are in units of the Nyquist frequency (1.0 is half the sampling rate), as in scipy, unless ``fs`` is
given. These functions run once, when a layer is built: they work in float64 and read values on the host.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from dsptorch.functional.validate import check_bool
from dsptorch.functional.windows import get_window, kaiser_beta

__all__ = ["firwin", "halfband", "minimum_phase", "unit_dc"]

_PASS_ZERO = {"lowpass": True, "highpass": False, "bandpass": False, "bandstop": True}


def firwin(
    numtaps: int,
    cutoff: float | Sequence[float],
    *,
    width: float | None = None,
    window: str | tuple[str, float] = "hamming",
    pass_zero: bool | str = True,
    scale: bool = True,
    fs: float | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """Design a linear-phase FIR filter by the window method, as ``scipy.signal.firwin`` does.

    Each passband from ``l`` to ``r`` (units of Nyquist) adds an ideal band-pass, truncated by the window::

        h[n] = w[n] sum_bands (r sinc(r m) - l sinc(l m)),   m = n - (numtaps - 1) / 2

    Args:
        numtaps: Length of the filter, at least 1; odd if the filter passes Nyquist.
        cutoff: Band edges in (0, 1), in units of Nyquist, increasing; one number or several.
        width: Transition width, in the unit of ``cutoff``. If given, the Kaiser window of this width replaces
            ``window``.
        window: See :func:`dsptorch.functional.windows.get_window`.
        pass_zero: Whether DC passes, or one of "lowpass", "highpass" (one cutoff), "bandpass", "bandstop"
            (at least two).
        scale: Whether to scale to a gain of exactly 1 at the centre of the first passband (DC or Nyquist if
            that band reaches there).
        fs: Sampling rate. If given, ``cutoff`` and ``width`` are in its unit and lie below ``fs / 2``.
        dtype: Of the result; the default dtype if None. The design itself is float64.
        device: Of the result.

    Shape:
        Output: ``(numtaps,)``.

    Raises:
        ValueError: If the number of taps, the cutoffs, the window or ``pass_zero`` is not as described.

    Example:
        >>> firwin(5, 0.4, window="boxcar")
        tensor([0.0784, 0.2538, 0.3354, 0.2538, 0.0784])
        >>> firwin(5, [0.2, 0.6], pass_zero="bandpass").shape
        torch.Size([5])

    References:
        Oppenheim and Schafer, "Discrete-Time Signal Processing", 3rd edition, 2010, section 7.5, page 533.
    """
    if fs is not None and not fs > 0:
        raise ValueError(f"fs must be a positive sampling rate, got {fs}")
    check_bool("scale", scale)
    nyquist = 1.0 if fs is None else fs / 2
    edges = [float(cutoff)] if isinstance(cutoff, (int, float)) else [float(c) for c in cutoff]
    edges = [c / nyquist for c in edges]
    passes_zero = _passes_zero(pass_zero, len(edges))
    _check_edges(edges, nyquist)
    passes_nyquist = passes_zero == (len(edges) % 2 == 0)
    if numtaps < 1:
        raise ValueError(f"firwin needs numtaps >= 1, got {numtaps}")
    if passes_nyquist and numtaps % 2 == 0:
        raise ValueError(
            f"a filter of even length has a zero at Nyquist, which this one must pass; "
            f"got numtaps={numtaps}: take {numtaps + 1}"
        )
    if width is not None:
        window = ("kaiser", kaiser_beta(numtaps, float(width) / nyquist))
    edges = [0.0] * passes_zero + edges + [1.0] * passes_nyquist
    bands = list(zip(edges[::2], edges[1::2], strict=True))
    m = torch.arange(numtaps, dtype=torch.float64) - (numtaps - 1) / 2
    taps = torch.zeros_like(m)
    for left, right in bands:
        taps = taps + right * torch.sinc(right * m) - left * torch.sinc(left * m)
    taps = taps * get_window(window, numtaps)
    if scale:
        left, right = bands[0]
        centre = 0.0 if left == 0 else 1.0 if right == 1 else (left + right) / 2
        taps = taps / (taps * torch.cos(math.pi * m * centre)).sum()
    return taps.to(dtype=dtype or torch.get_default_dtype(), device=device)


def unit_dc(taps: Tensor, dim: int = 0) -> Tensor:
    """Scale a filter to unit gain at DC: ``h / sum_k h[k]``.

    Args:
        taps: Floating-point coefficients; other dimensions are separate filters.
        dim: The dimension of the taps.

    Shape:
        Output: as ``taps``.

    Raises:
        ValueError: If a sum is zero within rounding (a high-pass or band-pass filter), or not finite.

    Example:
        >>> unit_dc(torch.tensor([1.0, 2.0, 1.0]))
        tensor([0.2500, 0.5000, 0.2500])
    """
    wide = taps.to(torch.promote_types(taps.dtype, torch.float32))
    gain = wide.sum(dim, keepdim=True)
    floor = taps.shape[dim] * torch.finfo(wide.dtype).eps * wide.abs().sum(dim, keepdim=True)
    if not bool((gain.isfinite() & (gain.abs() > floor)).all()):
        raise ValueError(
            "unit_dc needs taps whose sum is finite and not zero, got a filter that stops DC "
            f"(sums: {gain.flatten()[:4].tolist()}); scale it at a frequency that it passes"
        )
    return (wide / gain).to(taps.dtype)


def halfband(
    numtaps: int,
    *,
    window: str | tuple[str, float] = "hamming",
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """Design a half-band low-pass: every second tap from the centre is exactly zero, the centre is 1/2.

    With n counted from the centre, the filter and its mirror image about half Nyquist add up to the identity::

        h[n] + (-1)^n h[n] = delta[n],   H(f) + H(1 - f) = 1   (f in units of Nyquist, zero-phase response)

    Args:
        numtaps: Odd length, at least 3; of the form 4k + 3 (at 4k + 1 the two outer taps are zeros).
        window: See :func:`dsptorch.functional.windows.get_window`.
        dtype: Of the result; the default dtype if None.
        device: Of the result.

    Shape:
        Output: ``(numtaps,)``.

    Raises:
        ValueError: If ``numtaps`` is even or below 3, or the window is zero at every tap but the centre.

    Example:
        >>> halfband(7, window="boxcar")
        tensor([-0.1250,  0.0000,  0.3750,  0.5000,  0.3750,  0.0000, -0.1250])

    References:
        Mintzer, "On half-band, third-band, and Nth-band FIR filters and their design", IEEE Trans. Acoustics,
        Speech and Signal Processing 30, 1982, pages 734-738.
    """
    if numtaps < 3 or numtaps % 2 == 0:
        raise ValueError(f"a half-band filter needs an odd numtaps >= 3, got {numtaps}")
    m = torch.arange(numtaps) - numtaps // 2
    odd = m % 2 == 1
    taps = torch.where(odd, torch.sinc(m.double() / 2) / 2, 0.0) * get_window(window, numtaps)
    rest = float(taps.sum())
    if abs(rest) < 1e-9:
        raise ValueError(f"window {window!r} is zero at every odd tap of numtaps={numtaps}: take more taps")
    taps = torch.where(m == 0, 0.5, taps * (0.5 / rest))
    return taps.to(dtype=dtype or torch.get_default_dtype(), device=device)


def minimum_phase(taps: Tensor, n_fft: int | None = None) -> Tensor:
    """Return the minimum-phase filter: same length and magnitude response, energy as early as possible.

    The real cepstrum is folded onto non-negative time, which reflects every zero into the unit circle::

        c = IFFT(log|FFT(h)|),   h_min = IFFT(exp(FFT(u c))),   u[0] = 1, u[0 < n < N/2] = 2, else 0

    It equals ``scipy.signal.minimum_phase(taps, n_fft=n_fft, half=False)``: it keeps the magnitude, not its square
    root. Where the response has zeros the cepstrum is long and aliases: the magnitude is off by up to 1 % for
    a short filter with a zero at Nyquist, and by 1e-5 for most filters. The error falls as 1 / ``n_fft``.

    Args:
        taps: One filter, not all zero.
        n_fft: Even FFT size N, at least the filter's length; by default 200 times its length, rounded up to a
            power of two.

    Shape:
        taps: ``(K,)``. Output: ``(K,)``, in the dtype of ``taps``.

    Raises:
        ValueError: If ``taps`` is not one filter, is zero or not finite, or ``n_fft`` is odd or too small.

    Example:
        >>> minimum_phase(torch.tensor([1.0, 4.0])).round(decimals=3)
        tensor([4., 1.])

    References:
        Oppenheim and Schafer, "Discrete-Time Signal Processing", 3rd edition, 2010, chapter 13, page 980.
    """
    if taps.ndim != 1 or taps.numel() == 0:
        raise ValueError(f"minimum_phase takes one filter of shape (K,), got {tuple(taps.shape)}")
    length = taps.numel()
    if n_fft is None:
        n_fft = 2 ** math.ceil(math.log2(200 * max(length - 1, 1)))
    if n_fft < length or n_fft % 2:
        raise ValueError(f"n_fft must be even and at least the {length} taps, got {n_fft}")
    magnitude = torch.fft.fft(taps.double(), n_fft).abs()
    positive = magnitude[magnitude > 0]
    if positive.numel() == 0 or not bool(magnitude.isfinite().all()):
        raise ValueError("minimum_phase takes finite taps that are not all zero")
    # A floor below the smallest magnitude keeps the logarithm finite where the response is exactly zero.
    cepstrum = torch.fft.ifft(torch.log(magnitude + 1e-7 * positive.min())).real
    fold = torch.zeros_like(cepstrum)
    fold[0] = 1.0
    fold[1 : n_fft // 2] = 2.0
    folded: Tensor = torch.fft.ifft(torch.exp(torch.fft.fft(fold * cepstrum))).real
    return folded[:length].to(taps.dtype)


def _passes_zero(pass_zero: bool | str, num_edges: int) -> bool:
    if isinstance(pass_zero, bool):
        return pass_zero
    if pass_zero not in _PASS_ZERO:
        raise ValueError(f"pass_zero must be a bool or one of {', '.join(_PASS_ZERO)}, got {pass_zero!r}")
    if pass_zero in ("lowpass", "highpass"):
        if num_edges != 1:
            raise ValueError(f"pass_zero={pass_zero!r} takes one cutoff, got {num_edges}")
    elif num_edges < 2:
        raise ValueError(f"pass_zero={pass_zero!r} takes at least two cutoffs, got {num_edges}")
    return _PASS_ZERO[pass_zero]


def _check_edges(edges: list[float], nyquist: float) -> None:
    grid = [0.0, *edges, 1.0]
    if not edges or not all(a < b for a, b in pairwise(grid)):
        raise ValueError(
            f"cutoffs must increase strictly between 0 and Nyquist ({nyquist:g}), "
            f"got {[c * nyquist for c in edges]}"
        )

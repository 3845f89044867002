"""The stationary wavelet transform of whole signals and its inverse, with PyWavelets' names and order."""

import math
from collections.abc import Sequence
from typing import Any, cast

from torch import Tensor

from dsptorch.functional.dwt import filter_pair
from dsptorch.functional.extension import extend
from dsptorch.functional.kernel import lptv_filter
from dsptorch.functional.validate import check_bool, check_int, check_signal
from dsptorch.functional.wavelets import WaveletFilters

__all__ = ["iswt", "swt"]


def swt(
    x: Tensor,
    wavelet: str | WaveletFilters,
    level: int | None = None,
    start_level: int = 0,
    trim_approx: bool = False,
    norm: bool = False,
) -> list[Any]:
    """Split a signal into undecimated approximations and details of several levels: ``pywt.swt``.

    The signal is extended periodically. It may have any length; PyWavelets needs a multiple of 2^level. With filters of
    N taps, c_0 = x and s = 2^(j - 1 + start_level)::

        c_j[t] = sum_k  dec_lo[k] * c_j-1[t + s (N / 2 - k)],   d_j[t] = sum_k  dec_hi[k] * c_j-1[t + s (N / 2 - k)]

    Args:
        x: The signal.
        wavelet: A name (see :func:`wavelet_filters`), or filters as numbers or tensors. Filters given as tensors get
            gradients.
        level: The number n of levels, at least 1. None takes the number of times that 2 divides the length, at least 1.
        start_level: Number of levels already computed.
        trim_approx: Whether to return only the last approximation.
        norm: Whether to scale by 1 / sqrt 2 at each level, so that an orthonormal wavelet preserves the energy.

    Returns:
        [(cA_n, cD_n), ..., (cA_1, cD_1)], or [cA_n, cD_n, ..., cD_1] with `trim_approx`.

    Shape:
        (batch, time >= 1, channels) -> each of the same shape and dtype.

    Raises:
        TypeError, ValueError: If an argument is not as described.

    Example:
        >>> import torch
        >>> x = torch.randn(2, 50, 3)
        >>> coeffs = swt(x, "db2", level=3, trim_approx=True)
        >>> [tuple(c.shape) for c in coeffs] == [(2, 50, 3)] * 4
        True
        >>> torch.allclose(iswt(coeffs, "db2"), x, atol=1e-5)
        True

    References:
        Nason and Silverman, "The stationary wavelet transform and some statistical applications", in "Wavelets and
        Statistics", 1995, pages 281-299.
    """
    check_bool("trim_approx", trim_approx)
    scaled = check_bool("norm", norm)
    check_signal(x, None, "swt")
    if level is None:
        level = max(1, (x.shape[1] & -x.shape[1]).bit_length() - 1)
    check_int("level", level, least=1)
    bank = filter_pair(wavelet, x, synthesis=False) * (math.sqrt(0.5) if scaled else 1.0)
    pairs = []
    for j in range(check_int("start_level", start_level, least=0), start_level + level):
        low, high = (_filter(x, taps, 2**j, bank.shape[1] // 2) for taps in bank)
        pairs.append((low, high))
        x = low
    pairs.reverse()
    return [pairs[0][0], *(high for _, high in pairs)] if trim_approx else pairs


def iswt(coeffs: Sequence[Any], wavelet: str | WaveletFilters, norm: bool = False) -> Tensor:
    """Reconstruct a signal from undecimated coefficients: ``pywt.iswt``.

        c_j-1[t] = (1 / 2) sum_k  rec_lo[k] * c_j[t + s (N / 2 - 1 - k)] + rec_hi[k] * d_j[t + s (N / 2 - 1 - k)]

    Args:
        coeffs: The result of :func:`swt`, trimmed or not, with start_level=0. Only the last approximation is used.
        wavelet: See :func:`swt`.
        norm: See :func:`swt`.

    Shape:
        Result: (batch, time, channels), in the dtype of the coefficients.

    Raises:
        TypeError, ValueError: If an argument is not as described.

    Example:
        >>> import torch
        >>> x = torch.randn(1, 9, 1)
        >>> torch.allclose(iswt(swt(x, "haar", 2, norm=True), "haar", norm=True), x, atol=1e-6)
        True
    """
    scaled = check_bool("norm", norm)
    coeffs = list(coeffs)
    if coeffs and not isinstance(coeffs[0], Tensor):
        coeffs = [coeffs[0][0], *(high for _, high in coeffs)]
    if len(coeffs) < 2:
        raise ValueError("iswt needs [(cA_n, cD_n), ...] or [cA_n, cD_n, ..., cD_1], got no detail")
    x, *details = cast(list[Tensor], coeffs)
    for coefficient in coeffs:
        check_signal(coefficient, None, "iswt")
        if coefficient.shape != x.shape:
            raise ValueError(
                f"coeffs must be of one shape, got {tuple(x.shape)} and {tuple(coefficient.shape)}"
            )
    low, high = filter_pair(wavelet, x, synthesis=True) * (math.sqrt(0.5) if scaled else 0.5)
    ahead = len(low) // 2 - 1
    for j, detail in zip(reversed(range(len(details))), details, strict=True):
        x = _filter(x, low, 2**j, ahead) + _filter(detail, high, 2**j, ahead)
    return x


def _filter(x: Tensor, taps: Tensor, spacing: int, ahead: int) -> Tensor:
    """Filter a periodic signal with taps `spacing` samples apart: y[t] = sum_k h[k] x[t + spacing (ahead - k)]."""
    last = len(taps) - 1
    seen = extend(x, spacing * (last - ahead), spacing * ahead, "periodic")
    lags = tuple(range(0, spacing * len(taps), spacing))
    return lptv_filter(seen, taps.reshape(1, -1, 1), lags, history=spacing * last)

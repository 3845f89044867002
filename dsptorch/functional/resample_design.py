"""Filters for changes of rate: the initial filters of upsamplers, decimators and resamplers.

Taps are at ``up`` times the rate of the input. A linear-phase filter of N taps delays by (N - 1) / 2 of its own
samples, which is (N - 1) / (2 L) input samples: :func:`linear_phase_delay`.
"""

import math
from fractions import Fraction

import torch
from torch import Tensor

from dsptorch.functional.design import firwin, unit_dc

__all__ = ["decimate_taps", "linear_phase_delay", "resample_taps", "upsample_taps"]

_MOST_TAPS = 2**20


def resample_taps(
    up: int,
    down: int,
    window: str | tuple[str, float] = ("kaiser", 5.0),
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """Design the low-pass filter of ``scipy.signal.resample_poly``.

    With L = up / g, M = down / g, g = gcd(up, down)::

        h = L * firwin(20 * max(L, M) + 1, 1 / max(L, M)),   [1] if L = M = 1

    The delay is ``linear_phase_delay(len(h), L)``, 10 max(L, M) / L input samples. The taps are at L times the rate of
    the input, so pass L and M, not ``up`` and ``down``, to :func:`dsptorch.functional.resample.resample`.

    Args:
        up: Outputs per ``down`` inputs, at least 1.
        down: See ``up``.
        window: See :func:`dsptorch.functional.windows.get_window`.
        dtype: Of the result; the default dtype if None. The design itself is float64.
        device: Of the result.

    Shape:
        Output: ``(20 * max(L, M) + 1,)``.

    Raises:
        ValueError: If a rate is below 1, or the filter would have more than 2**20 taps.

    Example:
        >>> resample_taps(6, 4).shape
        torch.Size([61])

    References:
        Oppenheim and Schafer, "Discrete-Time Signal Processing", 3rd edition, 2010, section 4.6.3, page 191.
    """
    _check_at_least_one(up=up, down=down)
    common = math.gcd(up, down)
    up, down = up // common, down // common
    most = max(up, down)
    numtaps = 20 * most + 1 if most > 1 else 1
    # The polyphase filters are as long as the longest, K taps each.
    if up * -(-numtaps // up) > _MOST_TAPS:
        raise ValueError(
            f"resampling by {up}/{down} takes a filter of {up} phases of {-(-numtaps // up)} taps, "
            f"{up * -(-numtaps // up)} in all, more than {_MOST_TAPS}; take a ratio of smaller numbers, or two stages"
        )
    taps = up * _lowpass(numtaps, most, window)
    return taps.to(dtype=dtype or torch.get_default_dtype(), device=device)


def upsample_taps(
    kind: str,
    factor: int,
    kernel_size: int | None = None,
    window: str | tuple[str, float] = "hamming",
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """Design the filter of an upsampler: hold, linear interpolation or low-pass.

    Each of the M = factor phases sums to 1, sum_k w[p + M k] = 1, so that a constant input gives a constant output.
    Delays are in input samples::

        hold      w[i] = 1 for i < M                                         delay 0
        linear    w[i] = min(i, 2 M - i) / M for i < 2 M                     delay 1
        lowpass   firwin(kernel_size, 1 / M), each phase scaled              delay linear_phase_delay(kernel_size, M)

    "linear" interpolates between the last two inputs, so it does not look ahead.

    Args:
        kind: "hold", "linear" or "lowpass".
        factor: M, at least 1.
        kernel_size: Length of the filter, at least M for "hold" and 2 M for "linear"; zeros are appended. The default
            is this least length, and 4 M for "lowpass".
        window: Window of "lowpass"; see :func:`dsptorch.functional.windows.get_window`.
        dtype: Of the result; the default dtype if None.
        device: Of the result.

    Shape:
        Output: ``(kernel_size,)``.

    Raises:
        ValueError: If the kind is unknown, or the length is too short.

    Example:
        >>> upsample_taps("linear", 2)
        tensor([0.0000, 0.5000, 1.0000, 0.5000])
    """
    _check_at_least_one(factor=factor)
    _check_kind(kind, ("hold", "linear", "lowpass"))
    least = 2 * factor if kind == "linear" else factor
    size = _checked_size(kernel_size, _default_lowpass(factor) if kind == "lowpass" else least, least)
    index = torch.arange(size, dtype=torch.float64)
    if kind == "hold":
        taps = (index < factor).double()
    elif kind == "linear":
        taps = torch.minimum(index, 2 * factor - index).clamp_min(0) / factor
    else:
        whole = torch.nn.functional.pad(_lowpass(size, factor, window), (0, -size % factor))
        taps = unit_dc(whole.view(-1, factor)).flatten()[:size]
    return taps.to(dtype=dtype or torch.get_default_dtype(), device=device)


def decimate_taps(
    kind: str,
    factor: int,
    kernel_size: int | None = None,
    window: str | tuple[str, float] = "hamming",
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """Design the filter of a decimator, with unit gain at DC: low-pass, mean, or the first sample of each block.

    Delays are in input samples::

        lowpass   firwin(kernel_size, 1 / M)              delay linear_phase_delay(kernel_size)
        mean      w[k] = 1 / kernel_size                  delay linear_phase_delay(kernel_size)
        first     w[0] = 1, the others 0                  delay 0

    Args:
        kind: "lowpass", "mean" or "first".
        factor: M, at least 1.
        kernel_size: Length of the filter, at least 1. The default is 4 M for "lowpass" (1 if M is 1), M for "mean" and
            1 for "first". If M = 1, the low-pass is a delay of (kernel_size - 1) // 2.
        window: Window of "lowpass"; see :func:`dsptorch.functional.windows.get_window`.
        dtype: Of the result; the default dtype if None.
        device: Of the result.

    Shape:
        Output: ``(kernel_size,)``.

    Raises:
        ValueError: If the kind is unknown, or the length is below 1.

    Example:
        >>> decimate_taps("mean", 4)
        tensor([0.2500, 0.2500, 0.2500, 0.2500])
    """
    _check_at_least_one(factor=factor)
    _check_kind(kind, ("lowpass", "mean", "first"))
    size = _checked_size(
        kernel_size, {"lowpass": _default_lowpass(factor), "mean": factor, "first": 1}[kind], 1
    )
    if kind == "lowpass":
        taps = _lowpass(size, factor, window)
    elif kind == "mean":
        taps = torch.full((size,), 1 / size, dtype=torch.float64)
    else:
        taps = (torch.arange(size) == 0).double()
    return taps.to(dtype=dtype or torch.get_default_dtype(), device=device)


def linear_phase_delay(numtaps: int, up: int = 1) -> Fraction:
    """Return the delay of a symmetric filter in input samples, (N - 1) / (2 L).

    Args:
        numtaps: The length N of the filter, at least 1.
        up: Number of filter samples per input sample, L.

    Example:
        >>> linear_phase_delay(61, up=3)
        Fraction(10, 1)
        >>> linear_phase_delay(16)
        Fraction(15, 2)
    """
    _check_at_least_one(numtaps=numtaps, up=up)
    return Fraction(numtaps - 1, 2 * up)


def _default_lowpass(factor: int) -> int:
    return 4 * factor if factor > 1 else 1  # factor 1 needs no filter: the identity


def _lowpass(numtaps: int, factor: int, window: str | tuple[str, float]) -> Tensor:
    if factor == 1:  # every frequency passes: a delay of (numtaps - 1) / 2, rounded down
        return (torch.arange(numtaps) == (numtaps - 1) // 2).double()
    return firwin(numtaps, 1 / factor, window=window, dtype=torch.float64)


def _check_at_least_one(**numbers: int) -> None:
    for name, number in numbers.items():
        if number < 1:
            raise ValueError(f"{name} must be an integer of at least 1, got {number}")


def _check_kind(kind: str, kinds: tuple[str, ...]) -> None:
    if kind not in kinds:
        raise ValueError(f"kind must be one of {', '.join(map(repr, kinds))}, got {kind!r}")


def _checked_size(kernel_size: int | None, default: int, least: int) -> int:
    size = default if kernel_size is None else kernel_size
    if size < least:
        raise ValueError(f"kernel_size must be at least {least} here, got {size}")
    return size

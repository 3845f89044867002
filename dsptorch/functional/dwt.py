"""The discrete wavelet transform of whole signals and its inverse, with PyWavelets' names, order and modes."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from dsptorch.functional.extension import check_mode, extend
from dsptorch.functional.frames import analysis, synthesis
from dsptorch.functional.validate import check_int, check_signal
from dsptorch.functional.wavelets import WaveletFilters, wavelet_filters

__all__ = ["dwt", "filter_pair", "idwt", "wavedec", "waverec"]


def dwt(x: Tensor, wavelet: str | WaveletFilters, mode: str = "symmetric") -> tuple[Tensor, Tensor]:
    """Split a signal into approximation and detail coefficients: one level, ``pywt.dwt``.

    With filters of N taps, and the signal extended according to ``mode``::

        cA[n] = sum_k  dec_lo[k] * x[2n + 1 - k],   cD[n] = sum_k  dec_hi[k] * x[2n + 1 - k]

    There are floor((T + N - 1) / 2) coefficients of each kind. "periodization" repeats the signal, takes
    x[2n + N / 2 - k], and gives ceil(T / 2) coefficients.

    Args:
        x: The signal.
        wavelet: A name (see :func:`wavelet_filters`), or filters as numbers or tensors. Filters given as tensors get
            gradients.
        mode: How to extend the signal beyond its ends: "zero", "constant", "symmetric", "periodic", "smooth",
            "periodization", "reflect", "antisymmetric", "antireflect".

    Returns:
        cA and cD.

    Shape:
        x: (batch, time, channels), time >= 1. Each result: (batch, coefficients, channels), in the same dtype.

    Raises:
        TypeError, ValueError: If an argument is not as described.

    Example:
        >>> cA, cD = dwt(torch.tensor([1.0, 3.0, 2.0]).reshape(1, 3, 1), "haar")
        >>> cA.flatten(), cD.flatten()
        (tensor([2.8284, 2.8284]), tensor([-1.4142,  0.0000]))

    References:
        Mallat, "A Wavelet Tour of Signal Processing", 3rd edition, 2009, section 7.3, page 298.
    """
    check_signal(x, None, "dwt")
    bank = filter_pair(wavelet, x, synthesis=False)
    size = bank.shape[1]
    if check_mode(mode) == "periodization":
        x = extend(x, 0, x.shape[1] % 2, "constant")
        seen = extend(x, size // 2 - 1, size // 2 - 1, mode)
    else:
        frames = coefficients(x.shape[1], size, mode)
        seen = extend(x, size - 2, 2 * frames - x.shape[1], mode)
    low, high = analysis(seen, bank, 2, history=size - 1).chunk(2, -1)
    return low, high


def idwt(
    cA: Tensor | None,
    cD: Tensor | None,
    wavelet: str | WaveletFilters,
    mode: str = "symmetric",
    length: int | None = None,
) -> Tensor:
    """Reconstruct a signal from approximation and detail coefficients: ``pywt.idwt``.

        x[t] = sum_n  rec_lo[t + N - 2 - 2n] * cA[n] + rec_hi[t + N - 2 - 2n] * cD[n]

    Signals of odd length T and of length T + 1 have the same number of coefficients; `length` chooses between them.

    Args:
        cA: The approximation; None for zeros.
        cD: The detail; None for zeros.
        wavelet: As for :func:`dwt`.
        mode: The mode given to :func:`dwt`.
        length: Length of the signal. For L coefficients it is 2L - N + 2 or one less; with "periodization", 2L or
            one less. None takes the even length, as PyWavelets does.

    Shape:
        cA, cD: (batch, coefficients, channels). Result: (batch, length, channels).

    Raises:
        TypeError, ValueError: If an argument is not as described, or both are None.

    Example:
        >>> x = torch.randn(2, 7, 3)
        >>> torch.allclose(idwt(*dwt(x, "db2"), "db2", length=7), x, atol=1e-6)
        True
    """
    known = cD if cA is None else cA
    if known is None:
        raise ValueError("idwt needs cA or cD, got None for both")
    low, high = (torch.zeros_like(known) if c is None else c for c in (cA, cD))
    for coefficient in (low, high):
        check_signal(coefficient, None, "idwt")
    if low.shape != high.shape:
        raise ValueError(f"cA and cD must be of one shape, got {tuple(low.shape)} and {tuple(high.shape)}")
    bank = filter_pair(wavelet, low, synthesis=True)
    size, frames = bank.shape[1], low.shape[1]
    v = torch.cat([low, high], -1)
    if check_mode(mode) == "periodization":
        around = size // 2 - 1
        y = synthesis(extend(v, around, 0, mode), bank, 2, history=around).roll(-around, 1)
    else:
        if 2 * frames < size:
            raise ValueError(
                f"a wavelet of {size} taps makes {size // 2} coefficients at least (1 with mode='periodization'), got "
                f"{frames}"
            )
        y = synthesis(v, bank, 2)[:, size - 2 :]
    return y if length is None else _cut(y, length, frames)


def wavedec(
    x: Tensor, wavelet: str | WaveletFilters, mode: str = "symmetric", level: int | None = None
) -> list[Tensor]:
    """Split a signal into the coefficients of several levels: ``pywt.wavedec``.

    Args:
        x: The signal.
        wavelet: As for :func:`dwt`.
        mode: As for :func:`dwt`.
        level: Number of levels, at least 0. None takes floor(log2(T / (N - 1))), the most levels for which some
            coefficient does not depend on the extension.

    Returns:
        [cA_n, cD_n, ..., cD_1]

    Shape:
        x: (batch, time, channels), time >= 1.

    Raises:
        TypeError, ValueError: If an argument is not as described.

    Example:
        >>> [c.shape[1] for c in wavedec(torch.randn(1, 100, 2), "db4", level=3)]
        [18, 18, 30, 53]
    """
    check_signal(x, None, "wavedec")
    if level is None:
        size = filter_pair(wavelet, x, synthesis=False).shape[1]
        level = max(0, math.floor(math.log2(max(x.shape[1], 1) / (size - 1))))
    details = []
    for _ in range(check_int("level", level, least=0)):
        x, detail = dwt(x, wavelet, mode)
        details.append(detail)
    return [x, *reversed(details)]


def waverec(
    coeffs: Sequence[Tensor | None],
    wavelet: str | WaveletFilters,
    mode: str = "symmetric",
    length: int | None = None,
) -> Tensor:
    """Reconstruct a signal from the coefficients of several levels: ``pywt.waverec``.

    Args:
        coeffs: [cA_n, cD_n, ..., cD_1]. None stands for zeros if the number follows from another level.
        wavelet: As for :func:`dwt`.
        mode: The mode given to :func:`wavedec`.
        length: Length of the signal. None takes the even one of the two possible lengths, as PyWavelets does, so that a
            signal of odd length comes back with one sample more.

    Shape:
        Result: (batch, length, channels).

    Raises:
        TypeError, ValueError: If an argument is not as described, or the coefficients are not those of one signal.

    Example:
        >>> x = torch.randn(2, 37, 3)
        >>> torch.allclose(waverec(wavedec(x, "sym4", level=2), "sym4", length=37), x, atol=1e-5)
        True
    """
    if not coeffs:
        raise ValueError("waverec needs the coefficients [cA_n, cD_n, ..., cD_1], got none")
    x, *details = coeffs
    for i, detail in enumerate(details):
        if x is not None and detail is not None and x.shape[1] == detail.shape[1] + 1:
            x = x[:, :-1]  # the level below had the odd one of its two possible lengths
        wanted = None
        if length is not None:
            wanted, size = length, len(_filters(wavelet).rec_lo)
            for _ in range(len(details) - 1 - i):
                wanted = coefficients(wanted, size, mode)
        x = idwt(x, detail, wavelet, mode, wanted)
    if x is None:
        raise ValueError("waverec needs cA_0, got None alone")
    return x if details or length is None else _cut(x, length, x.shape[1])


def coefficients(time: int, size: int, mode: str) -> int:
    """The number of coefficients of a signal, for a filter of `size` taps."""
    return (time + 1) // 2 if check_mode(mode) == "periodization" else (time + size - 1) // 2


def filter_pair(wavelet: str | WaveletFilters, like: Tensor, *, synthesis: bool) -> Tensor:
    """The low-pass and the high-pass as one bank, (2, taps), on the device of a signal, in float32 at least."""
    filters = _filters(wavelet)
    pair = filters[2:] if synthesis else filters[:2]
    dtype = torch.promote_types(like.dtype, torch.float32)
    rows = [torch.as_tensor(taps, dtype=dtype, device=like.device) for taps in pair]
    if (
        {row.shape for row in rows} != {rows[0].shape}
        or rows[0].ndim != 1
        or len(rows[0]) < 2
        or len(rows[0]) % 2
    ):
        raise ValueError(
            "the filters of a wavelet must be of one even length, at least 2, got "
            + ", ".join(str(tuple(row.shape)) for row in rows)
        )
    return torch.stack(rows)


def _filters(wavelet: str | WaveletFilters) -> WaveletFilters:
    return wavelet if isinstance(wavelet, WaveletFilters) else wavelet_filters(wavelet)


def _cut(y: Tensor, length: int, frames: int) -> Tensor:
    time = y.shape[1]
    if check_int("length", length, least=1) not in (time - 1, time):
        raise ValueError(f"length must be {time - 1} or {time} with {frames} coefficients, got {length}")
    return y[:, :length]

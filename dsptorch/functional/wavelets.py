"""Wavelet filters by name, with PyWavelets' order and signs. They are computed on first use."""

import math
import re
from collections.abc import Sequence
from decimal import Decimal
from difflib import get_close_matches
from functools import cache
from typing import NamedTuple

from dsptorch.functional.dynamo import constant
from dsptorch.functional.exact import exactly
from dsptorch.functional.wavelet_design import BIORTHOGONAL, biorthogonal, coiflet, daubechies, symlet

__all__ = ["WaveletFilters", "lattice_angles", "wavelet_angles", "wavelet_filters", "wavelet_names"]

_FAMILIES = {"db": (daubechies, range(1, 39)), "sym": (symlet, range(2, 21)), "coif": (coiflet, range(1, 18))}
_CLOSE = 1e-6


class WaveletFilters(NamedTuple):
    """The four filters of a wavelet in PyWavelets' order: analysis (dec) and synthesis (rec), low and high.

    Example:
        >>> WaveletFilters._fields
        ('dec_lo', 'dec_hi', 'rec_lo', 'rec_hi')
    """

    dec_lo: tuple[float, ...]
    dec_hi: tuple[float, ...]
    rec_lo: tuple[float, ...]
    rec_hi: tuple[float, ...]


def wavelet_names() -> list[str]:
    """List the wavelets that :func:`wavelet_filters` knows.

    Example:
        >>> wavelet_names()[:3]
        ['haar', 'db1', 'db2']
    """
    orthonormal = [f"{family}{n}" for family, (_, orders) in _FAMILIES.items() for n in orders]
    return ["haar", *orthonormal, *(f"{family}{n}" for family in ("bior", "rbio") for n in BIORTHOGONAL)]


@constant
def wavelet_filters(wavelet: str) -> WaveletFilters:
    """Compute the filters of a wavelet, in float64.

    The wavelets are orthonormal, or biorthogonal ("bior", and "rbio" with analysis and synthesis exchanged)::

        dec_hi[n] = (-1)^(n + 1) rec_lo[n],   rec_hi[n] = (-1)^n dec_lo[n];   orthonormal: dec_lo[n] = rec_lo[N - 1 - n]

    Args:
        wavelet: "haar", "db1" to "db38", "sym2" to "sym20", "coif1" to "coif17"; "bior1.1", "1.3", "1.5", "2.2", "2.4",
            "2.6", "2.8", "3.1", "3.3", "3.5", "3.7", "3.9", "4.4", "5.5", "6.8", and "rbio" with the same numbers.

    Raises:
        ValueError: If the wavelet is unknown. The message gives the nearest names.

    Example:
        >>> [round(x, 4) for x in wavelet_filters("db2").dec_lo]
        [-0.1294, 0.2241, 0.8365, 0.483]

    References:
        Daubechies, "Ten Lectures on Wavelets", 1992, chapters 6 and 8.
    """
    dec_lo, rec_lo = (tuple(map(float, taps)) for taps in _low_passes(check_wavelet(wavelet)))
    dec_hi = tuple(x if n % 2 else -x for n, x in enumerate(rec_lo))
    rec_hi = tuple(-x if n % 2 else x for n, x in enumerate(dec_lo))
    return WaveletFilters(dec_lo, dec_hi, rec_lo, rec_hi)


@cache
def wavelet_angles(wavelet: str) -> tuple[float, ...]:
    """Compute the lattice angles of an orthonormal wavelet; see :func:`lattice_angles`.

    Args:
        wavelet: A name; see :func:`wavelet_filters`.

    Returns:
        One angle for every two taps. The angles sum to pi / 4, modulo 2 pi.

    Raises:
        ValueError: If the wavelet is unknown or biorthogonal.

    Example:
        >>> [round(a / math.pi * 12, 6) for a in wavelet_angles("db2")]
        [-4.0, 7.0]
    """
    if check_wavelet(wavelet).startswith(("bior", "rbio")):
        raise ValueError(
            f"wavelet {wavelet!r} is biorthogonal, and angles make orthonormal banks only; take an orthonormal wavelet "
            "such as 'db4' or 'sym4', or Lifting"
        )
    return lattice_angles(_low_passes(wavelet)[0])


@exactly
def lattice_angles(dec_lo: Sequence[float | Decimal]) -> tuple[float, ...]:
    """Factor the analysis low-pass of an orthonormal two-channel bank into the angles of its lattice.

    With dec_hi[n] = (-1)^(n + 1) dec_lo[N - 1 - n], the polyphase matrix of the bank, E(z)[k, l] = sum_j h_k[2j + l]
    z^-j, is a product of rotations and delays. The last coefficient of E has rank one. The rotation that moves it into
    the second row is split off together with the delay, which leaves a shorter filter::

        E(z) = R(a_S) L(z) R(a_S-1) ... L(z) R(a_0),   R(a) = [[cos a, sin a], [-sin a, cos a]],   L(z) = diag(1, z^-1)

    Args:
        dec_lo: The analysis low-pass, of even length N = 2 (S + 1).

    Returns:
        The angles a_0, ..., a_S in radians, in (-pi, pi].

    Raises:
        ValueError: If the length is odd, or the filter of these angles differs from the given one by more than 1e-6. It
            differs if the given filter is not orthonormal, or if its smallest taps have lost digits to rounding.

    Example:
        >>> [round(a, 4) for a in lattice_angles([math.sqrt(0.5), math.sqrt(0.5)])]
        [0.7854]

    References:
        Vaidyanathan and Hoang, "Lattice structures for optimal design and robust implementation of two-channel
        perfect-reconstruction QMF banks", IEEE Trans. Acoustics, Speech and Signal Processing 36(1), 1988, pages 81-94.
    """
    if len(dec_lo) < 2 or len(dec_lo) % 2:
        raise ValueError(f"a two-channel lattice has an even number of taps, at least 2; got {len(dec_lo)}")
    low = [Decimal(x) for x in dec_lo]
    high = [x if n % 2 else -x for n, x in enumerate(reversed(low))]
    angles = []
    while len(low) > 2:
        last = max((-1, -2), key=lambda i: low[i] * low[i] + high[i] * high[i])
        sine, cosine = low[last], high[last]
        size = (sine * sine + cosine * cosine).sqrt()
        if not size:  # the last taps are zeros: no rotation
            sine, cosine, size = Decimal(0), Decimal(1), Decimal(1)
        pairs = list(zip(low, high, strict=True))
        low = [(cosine * x - sine * y) / size for x, y in pairs][:-2]
        high = [(sine * x + cosine * y) / size for x, y in pairs][2:]
        angles.append(math.atan2(sine, cosine))
    angles.append(math.atan2(low[1], low[0]))
    angles.reverse()
    error = max(abs(x - float(y)) for x, y in zip(_low_pass(angles), dec_lo, strict=True))
    if not error <= _CLOSE:
        raise ValueError(
            f"the lattice that was peeled from these {len(dec_lo)} taps differs from them by {error:.1e}: they are not "
            "an orthonormal low-pass, or too few of their digits are known; use wavelet_angles where they have a name"
        )
    return tuple(angles)


def check_wavelet(wavelet: str) -> str:
    """Return a wavelet's name if it is known; otherwise raise an error with the nearest names."""
    if not isinstance(wavelet, str):
        raise TypeError(
            f"wavelet must be a name such as 'db4', got {wavelet!r} of type {type(wavelet).__name__}"
        )
    names = wavelet_names()
    if wavelet in names:
        return wavelet
    raise ValueError(
        f"unknown wavelet {wavelet!r}; the nearest names: {', '.join(_nearest(wavelet.lower()))}"
    )


def _nearest(wavelet: str) -> list[str]:
    near = get_close_matches(wavelet, wavelet_names(), n=4, cutoff=0.3)
    family, order = re.match(r"(\D*)(\d*)", wavelet).groups()  # type: ignore[union-attr]
    for name in get_close_matches(family, _FAMILIES, n=1):
        near = [f"{name}{n}" for n in sorted(_FAMILIES[name][1], key=lambda n: abs(n - int(order or 0)))[:4]]
    return near or ["haar", "db2", "sym4", "coif1"]


@cache
def _low_passes(wavelet: str) -> tuple[Sequence[Decimal], Sequence[Decimal]]:
    """The filters dec_lo and rec_lo, in decimals."""
    family, order = re.match(r"(\D*)(.*)", wavelet.replace("haar", "db1")).groups()  # type: ignore[union-attr]
    if family in _FAMILIES:
        taps = _FAMILIES[family][0](int(order))
        return taps[::-1], taps
    dec_lo, rec_lo = biorthogonal(order)
    return (dec_lo, rec_lo) if family == "bior" else (rec_lo[::-1], dec_lo[::-1])


def _low_pass(angles: Sequence[float]) -> list[float]:
    """The low-pass of a lattice, as floats."""
    low, high = [1.0, 0.0], [0.0, 1.0]
    for i, angle in enumerate(angles):
        if i:
            low, high = [*low, 0.0, 0.0], [0.0, 0.0, *high]
        c, s = math.cos(angle), math.sin(angle)
        low, high = (
            [c * x + s * y for x, y in zip(low, high, strict=True)],
            [c * y - s * x for x, y in zip(low, high, strict=True)],
        )
    return low

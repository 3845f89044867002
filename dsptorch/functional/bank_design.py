"""Initial angles of filterbanks: closed forms, or the filters with the least energy outside their bands.

The energy of a filter h beyond the frequency f is a quadratic form in its taps,

    2 * integral from f to 1/2 of |H(exp(2 pi j g))|^2 dg = sum_{n,m} h[n] h[m] r[n - m],

with r[n] = delta[n] - 2 f sinc(2 f n).
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import torch
from torch import Tensor

from dsptorch.functional.cosine import cosine_window
from dsptorch.functional.lattice import lattice_filters
from dsptorch.functional.minimise import minimise
from dsptorch.functional.validate import check_int

__all__ = ["cosine_angles", "lowpass_angles"]

_EDGE = 0.3  # the end of the transition of a half-band low-pass, in cycles per sample


def lowpass_angles(num_angles: int) -> Tensor:
    """Return the lattice angles of the best low-pass: the one with the least energy above 0.3 cycles per sample.

    Shape:
        Result: (num_angles,), float64.

    Raises:
        ValueError: If ``num_angles`` is under 1.

    Example:
        >>> lowpass_angles(1) / math.pi  # the Haar bank
        tensor([0.2500], dtype=torch.float64)

    References:
        P. P. Vaidyanathan and P.-Q. Hoang, Lattice structures for optimal design and robust implementation of
        two-channel perfect-reconstruction QMF banks, IEEE Trans. ASSP 36(1), 1988, pages 81-94.
    """
    return _lowpass_angles(check_int("num_angles", num_angles, least=1)).clone()


def cosine_angles(num_bands: int, overlap: int) -> Tensor:
    """Return the angles of the cosine-modulated banks in common use.

    An overlap of 1 gives the sine window of the MDCT, and 2 the window of the extended lapped transform. From 3 on the
    window has the least energy above 1 / (2 M) cycles per sample.

    Args:
        num_bands: M, at least 2.
        overlap: m, at least 1.

    Shape:
        Result: (num_bands // 2, overlap), float64.

    Raises:
        ValueError: If ``num_bands`` or ``overlap`` is below its minimum.

    Example:
        >>> cosine_window(cosine_angles(2, 1), 2) * 2  # sin((n + 1 / 2) pi / 4)
        tensor([0.3827, 0.9239, 0.9239, 0.3827], dtype=torch.float64)

    References:
        H. S. Malvar, Signal Processing with Lapped Transforms, 1992, sections 4.2 (MLT) and 5.2 (ELT).
    """
    check_int("num_bands", num_bands, least=2)
    return _cosine_angles(num_bands, check_int("overlap", overlap, least=1)).clone()


@lru_cache(maxsize=64)
def _lowpass_angles(num_angles: int) -> Tensor:
    def stopped(angles: Tensor) -> Tensor:
        low = lattice_filters(angles)[0]
        return low @ energy @ low

    with _designing():
        energy = _energy_beyond(_EDGE, 2 * num_angles)
        haar = torch.zeros(num_angles, dtype=torch.float64)
        haar[0] = math.pi / 4
        return minimise(stopped, haar)


@lru_cache(maxsize=64)
def _cosine_angles(num_bands: int, overlap: int) -> Tensor:
    def stopped(angles: Tensor) -> Tensor:
        window = cosine_window(angles, num_bands)
        return window @ energy @ window / window.square().sum()

    with _designing():
        closed = _extended_angles(num_bands) if overlap % 2 == 0 else _sine_angles(num_bands)
        # L R(pi / 2) L R(-pi / 2) is a delay: the closed form in the middle of a longer window.
        delay = torch.tensor([math.pi / 2, -math.pi / 2], dtype=torch.float64).expand(len(closed), 2)
        start = torch.cat([closed] + [delay] * ((overlap - 1) // 2), 1)
        if overlap <= 2:
            return start
        energy = _energy_beyond(0.5 / num_bands, 2 * overlap * num_bands)
        return minimise(stopped, start)


@contextmanager
def _designing() -> Iterator[None]:
    """Compute on the CPU whatever the default device is, and outside inference mode, so that results can be trained."""
    with torch.inference_mode(False), torch.device("cpu"):
        yield


def _sine_angles(num_bands: int) -> Tensor:
    """Angles of p[n] ~ sin((n + 1/2) pi / (2 M)), the window of overlap 1."""
    k = torch.arange(num_bands // 2, dtype=torch.float64)
    return (math.pi / 2 - (k + 0.5) * math.pi / (2 * num_bands)).unsqueeze(1)


def _extended_angles(num_bands: int) -> Tensor:
    """Angles of p[n] ~ 1 / sqrt(2) - cos((n + 1/2) pi / (2 M)), the window of overlap 2."""
    k = torch.arange(num_bands // 2, dtype=torch.float64)
    n = k + num_bands * torch.arange(4).unsqueeze(1)
    first, other, late, last = math.sqrt(0.5) - torch.cos((n + 0.5) * math.pi / (2 * num_bands))
    # (first, late) = (cos a_1 cos a_0, sin a_1 sin a_0), (other, last) = (-sin a_1 cos a_0, cos a_1 sin a_0)
    a1 = torch.atan2(late, last)
    a0 = torch.atan2(a1.cos() * last + a1.sin() * late, a1.cos() * first - a1.sin() * other)
    return torch.stack([a0, a1], 1)


def _energy_beyond(frequency: float, numtaps: int) -> Tensor:
    """The matrix of the quadratic form: the energy above a frequency in cycles per sample."""
    n = torch.arange(numtaps, dtype=torch.float64)
    lag = n - n.unsqueeze(1)
    return torch.eye(numtaps, dtype=torch.float64) - 2 * frequency * torch.sinc(2 * frequency * lag)

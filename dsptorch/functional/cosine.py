"""Cosine-modulated filterbanks: one window shared by all bands, orthonormal for any angles."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from dsptorch.functional.lattice import cosines_and_sines
from dsptorch.functional.validate import check_int

__all__ = ["cosine_bank", "cosine_window"]


def cosine_bank(angles: Tensor, num_bands: int) -> Tensor:
    """Return the filters of a cosine-modulated bank, which reconstructs perfectly for any angles.

    With M = ``num_bands``, N = 2 m M taps and the window p of :func:`cosine_window`::

        h_k[n] = 2 p[n] cos((2 k + 1) pi / (2 M) (n - (N - 1) / 2) + (-1)^k pi / 4)

    Band k has its centre at (2 k + 1) / (4 M) cycles per sample. The overlap m = 1 is the MDCT, m = 2 the extended
    lapped transform.

    Args:
        angles: m angles for each lattice of the window.
        num_bands: M, at least 2.

    Shape:
        angles: (M // 2, m). Result: (M, 2 m M), float32 at least.

    Raises:
        ValueError: If ``angles`` has another shape.

    Example:
        >>> bank = cosine_bank(torch.randn(2, 3), num_bands=4)
        >>> bank.shape, torch.allclose(bank @ bank.T, torch.eye(4), atol=1e-6)
        (torch.Size([4, 24]), True)

    References:
        R. D. Koilpillai and P. P. Vaidyanathan, Cosine-modulated FIR filter banks satisfying perfect reconstruction,
        IEEE Trans. Signal Processing 40(4), 1992, pages 770-783.
    """
    window = cosine_window(angles, num_bands)
    n = torch.arange(len(window), device=window.device)
    k = torch.arange(num_bands, device=window.device).unsqueeze(1)
    # Whole numbers, in units of pi / (4 M): a product of floats would round the phase.
    phase = (2 * k + 1) * (2 * n + 1 - len(window)) + (1 - 2 * (k % 2)) * num_bands
    phase = (phase % (8 * num_bands)).to(window.dtype) * (math.pi / (4 * num_bands))
    return 2 * window * phase.cos()


def cosine_window(angles: Tensor, num_bands: int) -> Tensor:
    """Return the window p of a cosine-modulated bank: symmetric, with 2 m M taps.

    The pairs (p[k + 2 M q], p[M + k + 2 M q]), q = 0 ... m - 1, are a lattice of m rotations, and those of k and
    M - 1 - k mirror each other::

        P_k(z) = (2 M)^-1/2 R(a_{k,m-1}) L(z) ... R(a_{k,1}) L(z) (cos a_{k,0}, sin a_{k,0})',   L(z) = diag(1, 1/z)

    Args:
        angles: a_{k,i}.
        num_bands: M, at least 2.

    Shape:
        angles: (M // 2, m). Result: (2 m M,), float32 at least.

    Raises:
        ValueError: If ``angles`` has another shape.

    Example:
        >>> cosine_window(torch.tensor([[math.pi / 4]]), num_bands=2)
        tensor([0.3536, 0.3536, 0.3536, 0.3536])

    References:
        R. D. Koilpillai and P. P. Vaidyanathan, Cosine-modulated FIR filter banks satisfying perfect reconstruction,
        IEEE Trans. Signal Processing 40(4), 1992, pages 770-783.
    """
    check_int("num_bands", num_bands, least=2)
    if angles.ndim != 2 or len(angles) != num_bands // 2 or angles.shape[1] == 0:
        raise ValueError(
            f"angles must be of shape (num_bands // 2, overlap) = ({num_bands // 2}, at least 1), got "
            f"{tuple(angles.shape)}"
        )
    overlap = angles.shape[1]
    cos, sin = cosines_and_sines(angles)
    pair = torch.stack([cos[:, :1], sin[:, :1]])
    for i in range(1, overlap):
        c, s = cos[:, i : i + 1], sin[:, i : i + 1]
        first, second = F.pad(pair[0], (0, 1)), F.pad(pair[1], (1, 0))
        pair = torch.stack([c * first + s * second, c * second - s * first])
    half = pair.permute(2, 0, 1)  # (m, 2, M // 2)
    parts = [half, half.flip(0, 1, 2)]
    if num_bands % 2:  # the middle pair mirrors itself: a pure delay
        middle = torch.zeros(overlap, 2, 1, dtype=half.dtype, device=half.device)
        middle[overlap // 2, 0] = middle[overlap - 1 - overlap // 2, 1] = math.sqrt(0.5)
        parts.insert(1, middle)
    return torch.cat(parts, 2).flatten() / math.sqrt(2 * num_bands)

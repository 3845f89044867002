"""The two-channel lattice: orthonormal filters from any angles."""

import math

import torch
from torch import Tensor

from dsptorch.functional.precision import at_least_single

__all__ = ["cosines_and_sines", "lattice_filters", "with_vanishing_moment"]


def lattice_filters(angles: Tensor) -> Tensor:
    """Return the analysis filters of an orthonormal two-channel bank from the angles of its lattice.

    The polyphase matrix is a product of rotations and delays::

        E(z) = R(a_S) L(z) ... L(z) R(a_0),   R(a) = [[cos a, sin a], [-sin a, cos a]],   L(z) = diag(1, z^-1)

    Here h_k[2j + l] is the coefficient of z^-j in E[k, l]. Any angles give filters that reconstruct perfectly.

    Args:
        angles: The angles in radians, S + 1 of them.

    Shape:
        (S + 1,) -> (2, 2 S + 2): the low-pass, and the high-pass h_1[n] = (-1)^(n + 1) h_0[2 S + 1 - n]; float32 at
        least.

    Raises:
        ValueError: If ``angles`` has another shape.

    Example:
        >>> lattice_filters(torch.tensor([-math.pi / 3, 7 * math.pi / 12]))
        tensor([[-0.1294,  0.2241,  0.8365,  0.4830],
                [-0.4830,  0.8365, -0.2241, -0.1294]])

    References:
        Vaidyanathan and Hoang, "Lattice structures for optimal design and robust implementation of two-channel
        perfect-reconstruction QMF banks", IEEE Trans. Acoustics, Speech and Signal Processing 36(1), 1988, pages 81-94.
    """
    if angles.ndim != 1 or len(angles) == 0:
        raise ValueError(f"angles must be of shape (S + 1,), at least 1, got {tuple(angles.shape)}")
    cosine, sine = cosines_and_sines(angles)
    rotations = torch.stack([cosine, sine, -sine, cosine], 1).reshape(-1, 2, 2, 1)
    first, *others = rotations.unbind()
    bank, gap = first.squeeze(-1), cosine.new_zeros(4)
    for rotation in others:
        # Two zeros after the low-pass; two before the high-pass, which is delayed.
        delayed = torch.cat([bank[0], gap, bank[1]]).reshape(2, -1)
        bank = (rotation * delayed).sum(1)  # not a matrix product, which autocast would round
    return bank


def with_vanishing_moment(angles: Tensor) -> Tensor:
    """Append the angle for which the high-pass stops DC and the low-pass stops Nyquist: the angles sum to pi / 4.

    The sum is computed with rotations, because a sum of large angles would be rounded.

    Shape:
        (S,) -> (S + 1,), float32 at least.

    Raises:
        ValueError: If ``angles`` has another shape.

    Example:
        >>> lattice_filters(with_vanishing_moment(torch.tensor([0.3, -700.0]))).sum(1).abs() < 1e-6
        tensor([False,  True])
    """
    if angles.ndim != 1:
        raise ValueError(f"angles must be of shape (S,), got {tuple(angles.shape)}")
    cosine, sine = cosines_and_sines(angles)
    c = s = cosine.new_tensor(math.sqrt(0.5))
    for c_i, s_i in zip(cosine.unbind(), sine.unbind(), strict=True):
        c, s = c * c_i + s * s_i, s * c_i - c * s_i
    return torch.cat([angles.to(cosine.dtype), torch.atan2(s, c).view(1)])


def cosines_and_sines(angles: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines of angles, in float32 at least."""
    angles = at_least_single(angles)
    return angles.cos(), angles.sin()

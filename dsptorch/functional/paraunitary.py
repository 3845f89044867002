"""Filterbanks of M bands as products of degree-one factors: orthonormal for any vectors."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dsptorch.functional.precision import at_least_single, without_autocast

__all__ = ["dct_reflections", "paraunitary_bank", "unit_vectors"]


def paraunitary_bank(vectors: Tensor, reflections: Tensor) -> Tensor:
    """Return the filters of a product of degree-one factors, which reconstruct perfectly for any vectors.

    h_k[M j + l] is the coefficient of z^-j in E_kl(z). Below, v stands for the unit vector v / abs(v)::

        E(z) = V_J(z) ... V_1(z) H_P ... H_1,   V(z) = I - v v' + v v' / z,   H = I - 2 v v'

    M - 1 reflections H give every orthogonal matrix up to the signs of the bands, and the factors V give every
    paraunitary E(z) of degree J. A zero vector gives the identity.

    Args:
        vectors: The vectors v of V_1, ..., V_J.
        reflections: The vectors v of H_1, ..., H_P.

    Shape:
        vectors: (J, M), J >= 0. reflections: (P, M), P >= 1. Result: (M, (J + 1) M), float32 at least.

    Raises:
        ValueError: If the arguments have other shapes.

    Example:
        >>> bank = paraunitary_bank(torch.randn(3, 4), torch.randn(3, 4))
        >>> bank.shape, torch.allclose(bank @ bank.T, torch.eye(4), atol=1e-6)
        (torch.Size([4, 16]), True)

    References:
        P. P. Vaidyanathan, T. Q. Nguyen, Z. Doganata and T. Saramaki, Improved technique for design of perfect
        reconstruction FIR QMF banks with lossless polyphase matrices, IEEE Trans. ASSP 37(7), 1989, pages 1042-1056.
    """
    if vectors.ndim != 2 or reflections.ndim != 2 or vectors.shape[1] != reflections.shape[1]:
        raise ValueError(
            "vectors and reflections must be of shapes (J, bands) and (P, bands), got "
            f"{tuple(vectors.shape)} and {tuple(reflections.shape)}"
        )
    if 0 in reflections.shape:
        raise ValueError(
            f"there must be at least 1 reflection of at least 1 band, got {tuple(reflections.shape)}"
        )
    with without_autocast(vectors):
        blocks = _product_of_reflections(unit_vectors(reflections)).unsqueeze(
            0
        )  # E_0, E_1, ... of (bands, M)
        for v in unit_vectors(vectors).unbind():
            along = v.unsqueeze(1) * (v @ blocks).unsqueeze(1)
            blocks = F.pad(blocks - along, (0, 0, 0, 0, 0, 1)) + F.pad(along, (0, 0, 0, 0, 1, 0))
    return blocks.transpose(0, 1).flatten(1)


def unit_vectors(vectors: Tensor) -> Tensor:
    """Scale the vectors along the last dimension to length 1; a zero vector stays zero.

    The result is float32 at least. Very short and very long vectors do not underflow or overflow.

    Example:
        >>> unit_vectors(torch.tensor([[3e-30, 4e-30], [0.0, 0.0]]))
        tensor([[0.6000, 0.8000],
                [0.0000, 0.0000]])
    """
    vectors = at_least_single(vectors)
    largest = vectors.detach().abs().amax(-1, keepdim=True)
    vectors = vectors / torch.where(largest > 0, largest, 1)  # keeps the squares in range
    return vectors / vectors.square().sum(-1, keepdim=True).clamp_min(1).sqrt()


def dct_reflections(num_bands: int) -> Tensor:
    """Return the vectors of M - 1 reflections whose product is the orthonormal DCT-II, up to the signs of its rows.

    Args:
        num_bands: The size of the DCT, at least 2.

    Shape:
        Result: (num_bands - 1, num_bands), float64.

    Example:
        >>> paraunitary_bank(torch.zeros(0, 2), dct_reflections(2).float())
        tensor([[-0.7071, -0.7071],
                [-0.7071,  0.7071]])

    References:
        A. S. Householder, Unitary triangularization of a nonsymmetric matrix, Journal of the ACM 5(4), 1958, pages
        339-342.
    """
    n = torch.arange(num_bands, dtype=torch.float64, device="cpu")
    rest = torch.cos(torch.pi / num_bands * (n + 0.5).unsqueeze(1) * n)  # its columns are the rows of the DCT
    rest = rest / rest.square().sum(0).sqrt()
    vectors = torch.zeros_like(rest[1:])
    for i in range(num_bands - 1):
        v = rest[:, i].clone()
        v[:i] = 0
        v[i] += torch.copysign(v.square().sum().sqrt(), v[i])
        vectors[i] = v
        rest = rest - 2 * torch.outer(v, v @ rest) / (v @ v)
    return vectors


def _product_of_reflections(units: Tensor) -> Tensor:
    """H_P ... H_1, multiplied pairwise, so that the rounding errors of fewer factors add up."""
    eye = torch.eye(units.shape[1], dtype=units.dtype, device=units.device)
    factors = eye - 2 * units.unsqueeze(2) * units.unsqueeze(1)
    while len(factors) > 1:
        pairs = factors[1::2] @ factors[: len(factors) // 2 * 2 : 2]
        factors = torch.cat([pairs, factors[-1:]]) if len(factors) % 2 else pairs
    return factors[0]

"""Parameters of filterbanks, and filterbanks that reconstruct perfectly."""

import math
from collections.abc import Callable

import torch
from hypothesis import strategies as st
from torch import Tensor

from dsptorch.functional.cosine import cosine_bank
from dsptorch.functional.dft import dft_bank, tight_window
from dsptorch.functional.lattice import lattice_filters, with_vanishing_moment
from dsptorch.functional.paraunitary import paraunitary_bank


@st.composite
def angles(draw: st.DrawFn, *shape: int) -> Tensor:
    """Angles of rotations, float64, in sixteenths of pi between -4 pi and 4 pi; the simplest are zeros.

    Args:
        *shape: The shape of the tensor.

    Example:
        >>> from hypothesis import find
        >>> find(angles(2), lambda a: a.abs().max() > 3) / math.pi
        tensor([0., 1.], dtype=torch.float64)
    """
    count = math.prod(shape)
    sixteenths = draw(st.lists(st.integers(-64, 64), min_size=count, max_size=count))
    return torch.tensor(sixteenths, dtype=torch.float64).reshape(shape) * (math.pi / 16)


@st.composite
def lattice_banks(draw: st.DrawFn, max_angles: int = 4) -> tuple[Tensor, int]:
    """Filters of a lattice, half of them with a vanishing moment, and their stride of 2; the simplest is the identity.

    Args:
        max_angles: The most angles.

    Example:
        >>> from hypothesis import find
        >>> find(lattice_banks(), lambda bank: True)
        (tensor([[1., 0.], [-0., 1.]], dtype=torch.float64), 2)
    """
    drawn = draw(angles(draw(st.integers(1, max_angles))))
    return lattice_filters(with_vanishing_moment(drawn) if draw(st.booleans()) else drawn), 2


@st.composite
def paraunitary_banks(draw: st.DrawFn, max_bands: int = 5, max_degree: int = 3) -> tuple[Tensor, int]:
    """Filters of a product of degree-one factors along small whole vectors, and their stride, the number of bands.

    Args:
        max_bands: The most bands, at least 2.
        max_degree: The most factors after the first.

    Example:
        >>> from hypothesis import find
        >>> bank, stride = find(paraunitary_banks(), lambda bank: True)
        >>> torch.allclose(bank @ bank.T, torch.eye(stride, dtype=torch.float64))
        True
    """
    bands = draw(st.integers(2, max_bands))
    degree = draw(st.integers(0, max_degree))
    count = (degree + bands - 1) * bands
    drawn = torch.tensor(
        draw(st.lists(st.integers(-3, 3), min_size=count, max_size=count)), dtype=torch.float64
    )
    vectors, reflections = drawn.view(-1, bands).split([degree, bands - 1])
    return paraunitary_bank(vectors, reflections), bands


@st.composite
def cosine_banks(draw: st.DrawFn, max_bands: int = 6, max_overlap: int = 3) -> tuple[Tensor, int]:
    """Filters of a cosine-modulated bank at any angles, and their stride, the number of bands.

    Args:
        max_bands: The most bands, at least 2.
        max_overlap: The greatest overlap: filters are 2 * overlap * bands taps long.

    Example:
        >>> from hypothesis import find
        >>> bank, stride = find(cosine_banks(), lambda bank: bank[1] == 3)
        >>> bank.shape
        torch.Size([3, 6])
    """
    bands = draw(st.integers(2, max_bands))
    return cosine_bank(draw(angles(bands // 2, draw(st.integers(1, max_overlap)))), bands), bands


@st.composite
def dft_banks(draw: st.DrawFn, max_stride: int = 4, max_overlap: int = 3) -> tuple[Tensor, int]:
    """Filters of the DFT under a tight window of quarters, and their stride.

    Args:
        max_stride: The greatest stride.
        max_overlap: The greatest overlap: the window is 2 * overlap * stride samples long.

    Example:
        >>> from hypothesis import find
        >>> bank, stride = find(dft_banks(), lambda bank: bank[1] == 2)
        >>> bank.shape
        torch.Size([6, 4])
    """
    stride, overlap = draw(st.integers(1, max_stride)), draw(st.integers(1, max_overlap))
    quarters = st.lists(st.integers(1, 8), min_size=2 * overlap * stride, max_size=2 * overlap * stride)
    window = torch.tensor(draw(quarters), dtype=torch.float64) / 4
    return dft_bank(tight_window(window, stride)), stride


def banks() -> st.SearchStrategy[tuple[Tensor, int]]:
    """Filters of analysis (filters, taps), float64, and their stride, of a bank that reconstructs perfectly.

    The filters of synthesis are the same reversed in time, and the delay is the number of taps less 1.

    Example:
        >>> from hypothesis import find
        >>> bank, stride = find(banks(), lambda bank: True)
        >>> torch.allclose((bank.T @ bank).trace(), torch.tensor(float(stride), dtype=torch.float64))
        True
    """
    families: list[Callable[[], st.SearchStrategy[tuple[Tensor, int]]]]
    families = [lattice_banks, paraunitary_banks, cosine_banks, dft_banks]
    return st.one_of(*(family() for family in families))

"""Products of small matrices, one for each channel: what a recurrence multiplies its states by, over many samples."""

from itertools import accumulate

import torch
from torch import Tensor

__all__ = ["companion", "in_range", "matmul", "powers_of", "products_of"]


def companion(a: Tensor) -> Tensor:
    """The matrix that takes the last p states to the next p: (..., p, n, n, channels) -> (..., pn, pn, channels)."""
    if a.shape[-4] == 1:
        return a.squeeze(-4)
    n, rest = a.shape[-2], (a.shape[-4] - 1) * a.shape[-2]
    shift = torch.eye(rest, rest + n, dtype=a.dtype, device=a.device).unsqueeze(-1)
    return torch.cat([torch.cat(a.unbind(-4), -2), shift.expand(*a.shape[:-4], -1, -1, a.shape[-1])], -3)


def powers_of(a: Tensor, count: int) -> Tensor:
    """The powers of a constant matrix, a^1 to a^count: (count, n, n, channels)."""
    # In float64: the error of the last one is an error of the pole. (Not every device has float64.)
    powers = (a if a.device.type == "mps" else a.double()).unsqueeze(0)
    if a.shape[-2] == 1:  # one operation in place of some
        powers = powers ** torch.arange(1, count + 1, device=a.device).view(-1, 1, 1, 1)
    while len(powers) < count:
        powers = torch.cat([powers, matmul(powers[-1], powers)])
    return in_range(powers[:count], a.dtype)


def products_of(matrices: list[Tensor]) -> Tensor:
    """The products of the matrices of a block up to each sample: (batch, blocks, size, n, n, channels)."""
    return torch.stack(list(accumulate(matrices, lambda p, a: in_range(matmul(a, p), p.dtype))), 2)


def in_range(powers: Tensor, dtype: torch.dtype) -> Tensor:
    """Powers as zero where they are next to nothing, and as finite where they are not.

    Products with subnormal numbers take many times as long; and 0 times infinity is NaN.
    """
    least, most = torch.finfo(dtype).tiny / torch.finfo(dtype).eps, torch.finfo(dtype).max ** 0.5
    return powers.masked_fill(powers.abs() < least, 0).clamp(-most, most).to(dtype)


def matmul(p: Tensor, q: Tensor) -> Tensor:
    """The product of the matrices of each channel: (..., n, n, channels)."""
    first, *others = (
        p.select(-2, j).unsqueeze(-2) * q.select(-3, j).unsqueeze(-3) for j in range(p.shape[-2])
    )
    return sum(others, first)

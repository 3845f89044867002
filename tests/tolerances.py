"""How far two computations of one thing may differ: per dtype, the same on every machine."""

import torch
from torch import Tensor

RTOL = {torch.float64: 1e-9, torch.float32: 2e-5, torch.bfloat16: 2e-2, torch.float16: 4e-3}
ATOL = {torch.float64: 1e-11, torch.float32: 2e-5, torch.bfloat16: 2e-2, torch.float16: 4e-3}


def assert_close(actual: Tensor, expected: Tensor, *, dtype: torch.dtype | None = None) -> None:
    """Equal in shape, and in values to the rounding of the coarser dtype (or of `dtype`)."""
    if not expected.is_floating_point():
        return assert_same(actual, expected)
    coarse = dtype or max(actual.dtype, expected.dtype, key=RTOL.__getitem__)
    return torch.testing.assert_close(
        actual.double(), expected.double(), rtol=RTOL[coarse], atol=ATOL[coarse]
    )


def assert_same(actual: Tensor, expected: Tensor) -> None:
    """Equal in dtype, shape, and every bit of every value."""
    torch.testing.assert_close(actual, expected, rtol=0, atol=0)

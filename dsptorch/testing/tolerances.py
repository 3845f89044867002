"""Tolerances for comparing two computations, by dtype, the same on every machine."""

from typing import NamedTuple

import torch
from torch import Tensor

from dsptorch.testing._engine.arguments import check_positive

RTOL = {torch.float64: 1e-9, torch.float32: 2e-5, torch.bfloat16: 2e-2, torch.float16: 4e-3}
"""Of each value."""

ATOL = {torch.float64: 1e-11, torch.float32: 2e-5, torch.bfloat16: 2e-2, torch.float16: 4e-3}
"""Beside it, for a signal of size 1."""


class Difference(NamedTuple):
    """The place of the greatest difference of two tensors, relative to the tolerance.

    Attributes:
        at: The index.
        actual: The actual value.
        expected: The expected value.
        allowed: The allowed difference.
    """

    at: tuple[int, ...]
    actual: complex
    expected: complex
    allowed: float

    @property
    def size(self) -> float:
        """The absolute difference."""
        return abs(self.actual - self.expected)

    def __str__(self) -> str:
        return (
            f"{site(self.at)}: {self.actual:.6g} instead of {self.expected:.6g}, off by {self.size:.3g} where "
            f"{self.allowed:.1g} is allowed"
        )


def difference(
    actual: Tensor, expected: Tensor, *, dtype: torch.dtype | None = None, scale: float = 1.0
) -> Difference | None:
    """Find the greatest difference of two tensors of the same shape, if it exceeds rounding.

        |actual - expected| <= ATOL * scale + RTOL * |expected|

    Args:
        actual: The computed tensor.
        expected: The expected tensor.
        dtype: The dtype whose tolerance applies; None for the coarser of the two.
        scale: The size of the summed terms, if it is not about 1; finite and above 0.

    Returns:
        The difference, or None if the tensors are equal within rounding. NaN equals NaN, infinity equals infinity.

    Example:
        >>> print(difference(torch.tensor([1.0, 2.5]), torch.tensor([1.0, 2.0])))
        index 1: 2.5 instead of 2, off by 0.5 where 6e-05 is allowed
    """
    check_positive("scale", scale)
    coarse = dtype or max(_real(actual), _real(expected), key=RTOL.__getitem__)
    wide = torch.complex128 if actual.is_complex() or expected.is_complex() else torch.float64
    actual, expected = actual.detach().to(wide), expected.detach().to(actual.device, wide)
    allowed = ATOL[coarse] * scale + RTOL[coarse] * expected.abs()
    same = ~unequal(actual, expected)
    excess = torch.where(same, 0.0, (actual - expected).abs() / allowed).nan_to_num(
        nan=torch.inf, posinf=torch.inf
    )
    excess = torch.where(allowed.isinf() & ~same, torch.inf, excess)
    if excess.numel() == 0 or not excess.max() > 1:
        return None
    at = tuple(int(i) for i in torch.unravel_index(excess.argmax(), excess.shape))
    return Difference(at, actual[at].item(), expected[at].item(), allowed[at].item())


def assert_close(
    actual: Tensor,
    expected: Tensor,
    *,
    dtype: torch.dtype | None = None,
    scale: float = 1.0,
    what: str = "the result",
) -> None:
    """Assert that two tensors have the same shape and values within rounding; integers must be equal.

    Args:
        actual: The computed tensor.
        expected: The expected tensor.
        dtype: See `difference`.
        scale: See `difference`.
        what: The name of the result, for the message.

    Raises:
        AssertionError: If they differ: it says where the most and by how much.

    Example:
        >>> assert_close(torch.tensor([0.1 + 0.2]), torch.tensor([0.3]))
        >>> assert_close(torch.zeros(1, 2, 1), torch.tensor([[[0.0], [1.0]]]), what="the output")
        Traceback (most recent call last):
        AssertionError: the output differs at row 0, time 1, channel 0: 0 instead of 1, off by 1 where ...
    """
    _check_shape(actual, expected, what)
    if not (expected.is_floating_point() or expected.is_complex()):
        return assert_same(actual, expected, what=what)
    found = difference(actual, expected, dtype=dtype, scale=scale)
    if found is not None:
        raise AssertionError(f"{what} differs at {found}")
    return None


def assert_same(actual: Tensor, expected: Tensor, *, what: str = "the result") -> None:
    """Assert that two tensors are bit-identical, with the same dtype and shape.

    Args:
        actual: The computed tensor.
        expected: The expected tensor.
        what: The name of the result, for the message.

    Raises:
        AssertionError: If they are not.

    Example:
        >>> assert_same(torch.arange(3), torch.tensor([0, 1, 2]))
    """
    _check_shape(actual, expected, what)
    if actual.dtype != expected.dtype:
        raise AssertionError(f"{what} is {actual.dtype}, expected {expected.dtype}")
    at = first_unequal(actual, expected)
    if at is not None:
        raise AssertionError(
            f"{what} differs at {site(at)}: {actual[at].item()!r} instead of {expected[at].item()!r}, and must "
            "be equal in every bit"
        )


def site(index: tuple[int, ...]) -> str:
    """Describe an index into (batch, time, channels) or another tensor in words."""
    if len(index) == 3:
        return f"row {index[0]}, time {index[1]}, channel {index[2]}"
    return f"index {', '.join(map(str, index))}" if index else "its only value"


def unequal(actual: Tensor, expected: Tensor) -> Tensor:
    """The elements that differ between two tensors; NaN equals NaN."""
    return (actual != expected) & ~(actual.isnan() & expected.isnan())


def first_unequal(actual: Tensor, expected: Tensor) -> tuple[int, ...] | None:
    """The first index at which two tensors of one shape differ, or None; NaN equals NaN."""
    other = unequal(actual, expected)
    return tuple(int(i) for i in other.nonzero()[0]) if other.any() else None


def _real(tensor: Tensor) -> torch.dtype:
    return tensor.dtype.to_real() if tensor.is_complex() else tensor.dtype


def _check_shape(actual: Tensor, expected: Tensor, what: str) -> None:
    if actual.shape != expected.shape:
        raise AssertionError(f"{what} has shape {tuple(actual.shape)}, expected {tuple(expected.shape)}")

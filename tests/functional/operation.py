"""A row of the table of functional operations, and what its cases are made of."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from hypothesis import strategies as st
from torch import Tensor

from dsptorch.testing import strategies as dst

F64 = torch.float64


class Operation(NamedTuple):
    """A row, named by the operation and perhaps, after a comma, by its use.

    Attributes:
        call: The operation, of the tensors that are drawn.
        cases: Tuples of float64 tensors, and of whole numbers.
        oracle: The same, by definition or by another library: tensors in, an array out.
        differentiable: Whether its derivatives are checked.
        compiles: Whether it is traced; what runs when a layer is built, or reads values, is not.
    """

    call: Callable[..., Any]
    cases: st.SearchStrategy[tuple[Any, ...]]
    oracle: Callable[..., Any]
    differentiable: bool = True
    compiles: bool = True


def numbers(*shape: int, low: int = -8, high: int = 8) -> st.SearchStrategy[Tensor]:
    """Quarters; they shrink to zeros."""
    count = math.prod(shape)
    values = st.lists(st.integers(low, high), min_size=count, max_size=count)
    return values.map(lambda v: torch.tensor(v, dtype=F64).reshape(shape) / 4)


def shaped(*shapes: tuple[int, ...], **kwargs: int) -> st.SearchStrategy[tuple[Tensor, ...]]:
    return st.tuples(*(numbers(*shape, **kwargs) for shape in shapes))


SIGNAL = dst.signals((2, 7, 2))


def designed(call: Callable[[int], Tensor], oracle: Callable[[int], Any]) -> Operation:
    """What is designed for a factor."""
    return Operation(call, st.tuples(st.integers(2, 6)), oracle, differentiable=False, compiles=False)

"""A planted bug: what breaks a promise, what would not, the check, and what it must say."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from tests.testing.broken_layers import (
    TIME,
    WIDTH,
)


class Bug(NamedTuple):
    """A planted bug.

    Attributes:
        check: Must raise AssertionError for the broken one, and pass the honest one.
        broken: Builds it.
        honest: Builds what it would be without the bug.
        says: A part of the message.
    """

    check: Callable[[Callable], None]
    broken: Callable[[], Callable]
    honest: Callable[[], Callable]
    says: str


def example(dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, TIME, WIDTH, dtype=torch.float64, generator=generator).to(dtype)


def on(check, *args, **kwargs):
    return lambda model: check(model, example(), *args, **kwargs)

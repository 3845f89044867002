"""A planted leak: what sees the future, or other rows, and the part of `assert_causal` that must say so."""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTH, TIME = 4, 40


class Leak(NamedTuple):
    """A planted bug.

    Attributes:
        model: Builds it.
        caught_by: "eval", "batch", "one row", "gradients", "train" or "jitter": the part of `assert_causal` that sees
            it, and the first.
        lookahead: What `max_lookahead` must say for TIME samples; None: not checked.
        vocab_size: For models on token ids.
        says: A part of the message.
        loudness: What the first of several rows of the example is multiplied by.
    """

    model: Callable[[], Callable[[Tensor], object]]
    caught_by: str = "eval"
    lookahead: int | None = None
    vocab_size: int | None = None
    says: str = ""
    loudness: float = 1.0


class Made(nn.Module):
    """A module of a function of itself and its input, and of its parts."""

    def __init__(self, function, **parts):
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return self.function(self, x)


def example(leak: Leak, batch: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    if leak.vocab_size:
        return torch.randint(0, leak.vocab_size, (batch, TIME), generator=generator)
    x = torch.randn(batch, TIME, WIDTH, generator=generator)
    return torch.cat([leak.loudness * x[:1], x[1:]]) if batch > 1 else x


def ahead(x, by=1):
    """x[t + by]."""
    return F.pad(x, (0, 0, 0, by))[:, by:]

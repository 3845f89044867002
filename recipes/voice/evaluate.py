"""Bits per sample of a part, and the streaming gate: sample by sample a model says what it says of the whole."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from gpt.errors import RecipeError, UsageError
from torch import Tensor, nn

from dsptorch import streaming

from .mixture import bits

CONTEXT = 2048  # samples that a model has seen before the first that counts
ROW = 8192  # samples that count, of a row
ROWS = 4  # at once
APART = 1e-4  # bits by which a sample may differ in a stream


class StreamError(RecipeError, RuntimeError):
    """A model that says something else in a stream."""


def counted(codes: Tensor) -> Tensor:
    """The samples of a part that count: all but the first CONTEXT, in whole rows."""
    return codes[CONTEXT : CONTEXT + (len(codes) - CONTEXT) // ROW * ROW]


@torch.no_grad()
def bits_of(model: nn.Module, codes: Tensor) -> float:
    """Return the mean bits of the samples of a part that count.

    Args:
        model: In eval mode.
        codes: The part, uint8, (time,).
    """
    rows = list(_rows(codes))
    total = sum(
        bits(model(row[:, :-1]), row[:, 1:])[:, CONTEXT - 1 :].double().sum().item()
        for row in torch.stack(rows).split(ROWS)
    )
    return total / (ROW * len(rows))


def _rows(codes: Tensor) -> Iterator[Tensor]:
    if len(codes) < CONTEXT + ROW:
        raise UsageError(
            f"expected a part of at least {CONTEXT + ROW} samples, got {len(codes)}; take more prompts"
        )
    for start in range(CONTEXT, len(codes) - ROW + 1, ROW):
        yield codes[start - CONTEXT : start + ROW].long()


@torch.no_grad()
def stream_gate(model: nn.Module, codes: Tensor) -> float:
    """Run a model over codes at once and one by one, and return the greatest difference, in bits of a sample.

    Args:
        model: In eval mode.
        codes: uint8, (time,).

    Raises:
        StreamError: The difference is more than APART.
    """
    row = codes[None].long()
    whole = bits(model(row[:, :-1]), row[:, 1:])
    with streaming(model):
        steps = torch.cat([model(row[:, t : t + 1]) for t in range(row.shape[1] - 1)], 1)
    apart = (bits(steps, row[:, 1:]) - whole).abs().max().item()
    if not apart <= APART:
        raise StreamError(
            f"expected the same bits in a stream, got a difference of {apart:.3g} bits of a sample; take the layer out "
            "whose step is not its forward"
        )
    return apart

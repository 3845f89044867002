"""A bank of moving averages that keeps the width: the signal, plus a learned sum of its averages."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from dsptorch import Chain, EMABank, Layer, Residual
from dsptorch.functional import Timeline


class Weigh(Layer):
    """Add the outputs of a bank, each channel of each weighed: y[t, c] = sum_j gain[j, c] x[t, j * d_model + c].

    Args:
        num: Outputs of the bank.
        d_model: Their width.

    Shape:
        (batch, time, num * d_model) -> (batch, time, d_model).
    """

    lookahead, period, receptive_field = 0, 1, 1
    no_weight_decay = ("gain",)

    def __init__(self, num: int, d_model: int) -> None:
        super().__init__(num * d_model, d_model)
        self.num = num
        self.gain = nn.Parameter(torch.empty(num, d_model))
        self.set_first_values()

    def first_values(self) -> dict[str, Tensor]:
        """Nothing is added at first."""
        return {"gain": torch.zeros(())}

    def process(self, x: Tensor, memory: Any, timeline: Timeline) -> tuple[Tensor, tuple[()]]:
        """Weigh and add, time step by time step."""
        return (x.unflatten(-1, (self.num, -1)) * self.gain).sum(-2).to(x.dtype), ()


def ema_bank(d_model: int, num: int = 4, **options: Any) -> Layer:
    """Return y = x + sum_j gain_j EMA_j(x), the identity at first.

    Args:
        d_model: The width.
        num: The averages.
        **options: Other arguments of dsptorch.EMABank.
    """
    return Residual(Chain(EMABank(d_model, num, **options), Weigh(num, d_model)))

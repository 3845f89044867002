"""Filters with constant taps, into which other layers fold for inference."""

from collections.abc import Callable
from fractions import Fraction

import torch
from torch import Tensor

from dsptorch.functional.periodic_fir import PeriodicFIR
from dsptorch.hyperparams import at_least_float32
from dsptorch.layers.base import FilterLayer


class FixedFilter(FilterLayer):
    """A periodic filter with constant taps.

        y[t, c] = sum_i  weight[t mod P, i, c] * x[t - lags[i], c]

    Layers that are periodic filters fold into this layer: see `dsptorch.fold`.

    Args:
        filter_: The filter, with weights on one device. Its taps are computed at construction, without a gradient.
        d_model: The width.
        delay: The declared delay of the output in samples.

    Attributes:
        weight: The taps, (period, lags, d_model or 1): a buffer that stays float32 at least.

    Shape:
        (batch, time, d_model) -> the same shape and dtype.

    Example:
        >>> low = PeriodicFIR.fir(torch.ones(4) / 4)
        >>> FixedFilter(PeriodicFIR.hold(2) @ low, 8)
        FixedFilter(8, period=2, taps=5, lookahead=0)
    """

    weight: Tensor

    def __init__(self, filter_: PeriodicFIR, d_model: int, *, delay: int | Fraction = 0) -> None:
        with torch.no_grad():
            folded = filter_.folded()
        super().__init__(d_model, folded.plan)
        self._delay = delay
        self._first = torch.as_tensor(folded.weights[0]).detach().clone()
        self.register_buffer("weight", self._first)  # shares memory with _first until the buffer is moved

    def first_values(self) -> dict[str, Tensor]:  # noqa: D102
        return {"weight": self._first}

    @property
    def delay(self) -> int | Fraction:
        """The declared delay in samples."""
        return self._delay

    def weights(self) -> tuple[Tensor]:
        """The taps."""
        return (self.weight,)

    def extra_repr(self) -> str:  # noqa: D102
        lags = len(self.plan.support.lags)
        return f"{self.d_model}, period={self.period}, taps={lags}, lookahead={self.lookahead}"

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "FixedFilter":
        super()._apply(at_least_float32(fn), recurse)  # type: ignore[no-untyped-call]
        return self

"""A table of the layers of a model."""

from __future__ import annotations

import copy
from fractions import Fraction
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from dsptorch.layers import Layer

__all__ = ["LayerSummary", "Summary", "summary"]

_MOST = 4096


class LayerSummary(NamedTuple):
    """The properties of one layer of a model.

    Attributes:
        name: The name of the layer in the model.
        kind: The name of its class.
        rate: Output samples per input sample.
        delay: Delay in input samples.
        lookahead: Lookahead in input samples.
        period: Period in input samples; None if there is none.
        receptive_field: Receptive field in input samples; None if unbounded.
        parameters: Number of learned numbers.
        cost: Multiplications per input sample, counted while the layer runs; None if it cannot run alone.
    """

    name: str
    kind: str
    rate: Fraction
    delay: int | Fraction
    lookahead: int
    period: int | None
    receptive_field: int | None
    parameters: int
    cost: float | None


class Summary(tuple[LayerSummary, ...]):
    """The result of `summary`: a tuple of `LayerSummary` that prints as a table."""

    __slots__ = ()

    def __str__(self) -> str:
        header = ("name", "layer", "rate", "delay", "lookahead", "period", "field", "parameters", "cost")
        rows = [header, *(_cells(row) for row in self)]
        widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
        lines = []
        for row in rows:
            left = [row[i].ljust(widths[i]) for i in (0, 1)]
            right = [row[i].rjust(widths[i]) for i in range(2, len(header))]
            lines.append("  ".join([*left, *right]).rstrip())
        return "\n".join(lines)

    __repr__ = __str__


def summary(model: nn.Module, *, time: int = 256) -> Summary:
    """List the dsptorch layers of a model with their properties, parameters and cost.

    The cost is counted while a copy of the layer runs alone on noise: multiply-adds of matrix products and
    convolutions, and elementwise products, divided by the number of input samples. A layer inside another layer has
    its own row, and is counted in both rows.

    Args:
        model: A model, or a layer.
        time: Length of the noise in samples.

    Returns:
        A tuple of `LayerSummary` that prints as a table; empty if the model has no dsptorch layer.

    Raises:
        TypeError, ValueError: If an argument is not as described.

    Example:
        >>> from dsptorch import FIR, Chain, Decimate
        >>> print(summary(Chain(FIR(8, kernel_size=3), Decimate(8, 2, kernel_size=4))))
        name      layer     rate  delay  lookahead  period  field  parameters  cost
        (model)   Chain      1/2      0          0       2      6          56    40
        layers.0  FIR          1      0          0       1      3          24    24
        layers.1  Decimate   1/2      0          0       2      4          32    16
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"expected an nn.Module, got {type(model).__name__}")
    if isinstance(time, bool) or not isinstance(time, int) or not 1 <= time <= _MOST:
        raise ValueError(f"time: expected an int from 1 to {_MOST} samples, got {time!r}")
    rows = []
    for name, layer in model.named_modules():
        if isinstance(layer, Layer):
            learned = sum(parameter.numel() for parameter in layer.parameters())
            said = (layer.rate, layer.delay, layer.lookahead, layer.period, layer.receptive_field)
            rows.append(
                LayerSummary(name or "(model)", type(layer).__name__, *said, learned, _cost(layer, time))
            )
    return Summary(rows)


class _Products(TorchDispatchMode):
    """Count the multiplications of the operations that run."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__.rstrip("_")
        if name in ("mul", "div", "addcmul", "lerp"):
            self.count += out.numel()
        elif name in ("mm", "bmm", "addmm", "baddbmm", "addmv", "mv", "dot"):
            left = args[1] if name.startswith(("add", "badd")) else args[0]
            self.count += out.numel() * left.shape[-1]
        elif name == "convolution":
            self.count += out.numel() * args[1][0].numel()
        return out


def _cost(layer: Layer, time: int) -> float | None:
    reference = next((p for p in layer.parameters() if p.is_floating_point()), None)
    device = torch.device("cpu") if reference is None else reference.device
    if device.type == "meta":
        return None
    x: Tensor = torch.ones(1, time, layer.d_model, device=device)
    products = _Products()
    try:
        probe = copy.deepcopy(layer).eval().float()
        with torch.no_grad(), products:
            probe(x)
    except (RuntimeError, TypeError, ValueError):
        return None
    return products.count / time


def _cells(row: LayerSummary) -> tuple[str, ...]:
    def shown(value: object) -> str:
        return "-" if value is None else str(value)

    cost = "-" if row.cost is None else f"{row.cost:,.0f}"
    numbers = (row.rate, row.delay, row.lookahead, row.period, row.receptive_field)
    return (row.name, row.kind, *map(shown, numbers), f"{row.parameters:,}", cost)

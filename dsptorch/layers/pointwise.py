"""Pointwise modules as layers: each time step is processed separately."""

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from dsptorch.functional.timeline import Timeline
from dsptorch.layers.base import Layer


class PointwiseLayer(Layer):
    """Base class of layers that process each time step separately. A subclass implements only `apply_pointwise`."""

    @abstractmethod
    def apply_pointwise(self, x: Tensor) -> Tensor:
        """Map (batch, time, d_model) -> the same shape and dtype, each time step separately."""

    lookahead = 0
    period = 1
    receptive_field = 1

    def process(self, x: Tensor, memory: Any, timeline: Timeline) -> tuple[Tensor, tuple[()]]:  # noqa: D102
        return self.apply_pointwise(x), ()


class Pointwise(PointwiseLayer):
    """Wrap a module that processes each time step separately as a layer, so that it can be used in a Chain.

        y[t] = module(x[t])

    The caller promises that the module is pointwise; `dsptorch.testing.assert_causal` checks a part of this. If all
    parameters of the module have one dtype, its input is cast to this dtype.

    Args:
        module: A pointwise module, (..., d_model) -> (..., d_model): an activation, a norm over channels, an MLP.
        d_model: The width.

    Shape:
        (batch, time, d_model) -> the same shape and dtype.

    Example:
        >>> import torch
        >>> from dsptorch import FIR, Chain, Pointwise
        >>> layer = Chain(FIR(8, 3), Pointwise(torch.nn.GELU(), 8))
        >>> layer(torch.randn(2, 5, 8)).shape
        torch.Size([2, 5, 8])
    """

    def __init__(self, module: nn.Module, d_model: int) -> None:
        super().__init__(d_model)
        if not isinstance(module, nn.Module):
            raise TypeError(f"module must be an nn.Module, got {type(module).__name__}")
        if any(isinstance(part, Layer) and not isinstance(part, PointwiseLayer) for part in module.modules()):
            raise ValueError(
                "Pointwise takes a module that treats every time step by itself, got one with a dsptorch layer in it; "
                "put that one into a Chain"
            )
        self.module = module

    def apply_pointwise(self, x: Tensor) -> Tensor:  # noqa: D102
        if any(getattr(part, "inplace", False) for part in self.module.modules()):
            x = x.clone()  # nn.ReLU(inplace=True) would change the caller's tensor
        y: Tensor = self.module(in_dtype_of(self.module, x))
        if y.shape != x.shape:
            raise ValueError(
                f"Pointwise needs a module that keeps the shape, but {type(self.module).__name__} made "
                f"{tuple(y.shape)} of {tuple(x.shape)}"
            )
        return y.to(x.dtype)


def in_dtype_of(module: nn.Module, x: Tensor) -> Tensor:
    """Cast a signal to the common dtype of a module's parameters, if there is one; autocast casts by itself."""
    some = next(module.parameters(), None)
    if some is None or some.dtype == x.dtype:
        return x
    dtypes = {p.dtype for p in module.parameters() if p.is_floating_point() and p.dtype.itemsize > 1}
    if len(dtypes) != 1 or x.dtype in dtypes:
        return x
    device = x.device.type
    if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
        return x
    return x.to(dtypes.pop())

"""Modules that treat every time step by itself, as layers."""

from abc import abstractmethod
from typing import Any

from torch import Tensor, nn

from dsptorch.functional.timeline import Timeline
from dsptorch.layers.base import Layer


class PointwiseLayer(Layer):
    """A layer that treats every time step by itself: a subclass says how in `apply_pointwise`, all else follows."""

    @abstractmethod
    def apply_pointwise(self, x: Tensor) -> Tensor:
        """Map (batch, time, d_model) -> the same shape and dtype, each time step by itself."""

    lookahead = 0
    period = 1
    receptive_field = 1

    def process(self, x: Tensor, memory: Any, timeline: Timeline) -> tuple[Tensor, tuple[()]]:  # noqa: D102
        return self.apply_pointwise(x), ()


class Pointwise(PointwiseLayer):
    """Declare that a module treats every time step by itself, so that it can stand in a Chain.

        y[t] = module(x[t])

    That is a promise: `dsptorch.testing.assert_causal` checks a part of it.

    Args:
        module: Such a module, (..., d_model) -> (..., d_model): an activation, a norm over channels, an MLP.
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
        y: Tensor = self.module(x)
        if y.shape != x.shape:
            raise ValueError(
                f"Pointwise needs a module that keeps the shape, but {type(self.module).__name__} made "
                f"{tuple(y.shape)} of {tuple(x.shape)}"
            )
        return y.to(x.dtype)

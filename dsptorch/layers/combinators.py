"""The common base of layers made of layers."""

from collections.abc import Iterable
from math import lcm
from typing import Any, cast

from torch import nn

from dsptorch.layers.base import Layer

__all__ = ["Combined", "check_keeps", "check_layers"]


class Combined(Layer):
    """Base class of a layer made of several layers.

    Args:
        layers: The layers, first to last.
        d_model: The width of the input.
        d_out: The width of the output.
    """

    def __init__(self, layers: tuple[Layer, ...], d_model: int, d_out: int) -> None:
        super().__init__(d_model, d_out)
        self.layers = nn.ModuleList(layers)
        self.streams = all(layer.streams for layer in layers)

    @property
    def members(self) -> list[Layer]:
        """The layers, first to last. A layer may be inside a wrapper, which copies its attributes."""
        return cast(list[Layer], list(self.layers))

    @property
    def period(self) -> int | None:
        """The least common multiple of the layers' periods; None if one is None."""
        periods = [layer.period for layer in self.members]
        known = [period for period in periods if period is not None]
        return lcm(*known) if len(known) == len(periods) else None

    def _memories(self, memory: Any) -> tuple[Any, ...]:
        count = len(self.members)
        return (None,) * count if memory is None else memory[:count]


def check_layers(name: str, layers: Iterable[Any]) -> tuple[Layer, ...]:
    """Return the layers; raise unless there is at least one and all are layers."""
    layers = tuple(layers)
    if not layers:
        raise ValueError(f"{name} needs at least one layer")
    for layer in layers:
        if isinstance(layer, (list, tuple)):
            raise TypeError(
                f"{name} takes layers one by one, got a {type(layer).__name__}; write {name}(*layers)"
            )
        if not isinstance(layer, Layer):
            raise TypeError(
                f"{name} takes dsptorch layers, got {type(layer).__name__}; "
                "wrap a module that treats every time step by itself in Pointwise(module, d_model)"
            )
    return layers


def check_keeps(name: str, layer: Any) -> Layer:
    """Return a layer; raise unless it keeps rate and width, so that its output can be mixed with its input."""
    if not isinstance(layer, Layer):
        raise TypeError(f"{name} takes a dsptorch layer, got {type(layer).__name__}")
    if layer.rate != 1 or layer.d_out != layer.d_model:
        raise ValueError(
            f"{name} needs a layer that keeps rate and width, got rate {layer.rate} and {layer.d_model} to "
            f"{layer.d_out} channels; fade within a Chain that comes back to the rate of its input"
        )
    return layer

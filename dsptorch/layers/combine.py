"""Layers made of layers."""

from collections.abc import Iterable
from math import lcm
from typing import Any, NamedTuple

from torch import Tensor, nn

from dsptorch.functional.segments import Segments
from dsptorch.functional.stream import next_place
from dsptorch.layers.base import Layer
from dsptorch.layers.fir import Delay


class CombinedState(NamedTuple):
    """What layers combined into one remember.

    Attributes:
        layers: The state of each.
        position: The absolute time of the next sample of each row: int64, (batch,).
        segment: The segment id of the last sample of each row, 0 if there were no ids: int64, (batch,).
    """

    layers: tuple[Any, ...]
    position: Tensor
    segment: Tensor


class _Combined(Layer):
    """Several layers of one width."""

    def __init__(self, layers: Iterable[Layer]) -> None:
        layers = tuple(layers)
        name = type(self).__name__
        if not layers:
            raise ValueError(f"{name} needs at least one layer")
        for layer in layers:
            if not isinstance(layer, Layer):
                raise TypeError(
                    f"{name} takes dsptorch layers, got {type(layer).__name__}; "
                    "wrap a module that treats every moment by itself in Pointwise(module, d_model)"
                )
        widths = [layer.d_model for layer in layers]
        if len(set(widths)) > 1:
            raise ValueError(f"{name} needs layers of one width, got d_model {widths}")
        super().__init__(widths[0])
        self.layers = nn.ModuleList(layers)

    @property
    def members(self) -> list[Layer]:
        """The layers, first to last."""
        return [layer for layer in self.layers if isinstance(layer, Layer)]

    @property
    def period(self) -> int | None:
        """The least common multiple; None if any is None."""
        periods = [layer.period for layer in self.members]
        known = [period for period in periods if period is not None]
        return lcm(*known) if len(known) == len(periods) else None

    def _states(self, state: CombinedState | None) -> tuple[Any, ...]:
        return (None,) * len(self.layers) if state is None else state.layers


class Chain(_Combined):
    """Apply layers one after another.

    Args:
        *layers: The layers, first to last, of one width.

    Shape:
        (batch, time, d_model) -> the same shape and dtype.

    Example:
        >>> import torch
        >>> from dsptorch import FIR, Chain, Multirate
        >>> layer = Chain(FIR(8, 3), Multirate(8))
        >>> layer.receptive_field, layer.period
        (13, 2)
    """

    def __init__(self, *layers: Layer) -> None:
        super().__init__(layers)

    @property
    def lookahead(self) -> int:
        """The sum."""
        return sum(layer.lookahead for layer in self.members)

    @property
    def delay(self) -> int:
        """The sum."""
        return sum(layer.delay for layer in self.members)

    @property
    def receptive_field(self) -> int | None:
        """The sum, less the samples counted twice; None if any is None."""
        fields = [layer.receptive_field for layer in self.members]
        known = [field for field in fields if field is not None]
        return sum(known) - len(known) + 1 if len(known) == len(fields) else None

    def process(  # noqa: D102
        self, x: Tensor, state: CombinedState | None, segments: Segments | None = None
    ) -> tuple[Tensor, CombinedState]:
        y, states = x, []
        for layer, before in zip(self.members, self._states(state), strict=True):
            y, after = layer.process(y, before, segments)
            states.append(after)
        return y, CombinedState(tuple(states), *next_place(x, state, segments))


class Parallel(_Combined):
    """Add the outputs of layers on the same input, the quicker ones delayed to the slowest.

    Args:
        *layers: The branches, of one width.

    Shape:
        (batch, time, d_model) -> the same shape and dtype.

    Example:
        A symmetric low-pass is 2 samples late, and so is the input that is added to it:

        >>> import torch
        >>> from dsptorch import FIR, Delay, Parallel
        >>> low = FIR(8, 5, init="lowpass", delay=2)
        >>> layer = Parallel(low, Delay(8, 0))
        >>> layer.delay
        2
        >>> y = layer(torch.ones(1, 10, 8))
        >>> y[0, -1, 0]
        tensor(2., grad_fn=<SelectBackward0>)
    """

    def __init__(self, *layers: Layer) -> None:
        super().__init__(layers)
        self._delay = max(layer.delay for layer in layers)
        late = [self._delay - layer.delay for layer in layers]
        self.layers = nn.ModuleList(
            Chain(layer, Delay(self.d_model, delay)) if delay else layer
            for layer, delay in zip(layers, late, strict=True)
        )

    @property
    def lookahead(self) -> int:
        """The greatest; a branch that is delayed counts as if it were not."""
        return max(layer.lookahead for layer in self.members)

    @property
    def delay(self) -> int:
        """The greatest."""
        return self._delay

    @property
    def receptive_field(self) -> int | None:
        """From the furthest past to the furthest future of any branch; None if any is None."""
        past = 0
        for layer in self.members:
            if layer.receptive_field is None:
                return None
            past = max(past, layer.receptive_field - layer.lookahead)
        return past + self.lookahead

    def process(  # noqa: D102
        self, x: Tensor, state: CombinedState | None, segments: Segments | None = None
    ) -> tuple[Tensor, CombinedState]:
        results = [
            layer.process(x, before, segments)
            for layer, before in zip(self.members, self._states(state), strict=True)
        ]
        y = sum((y for y, _ in results[1:]), results[0][0])
        states = tuple(after for _, after in results)
        return y, CombinedState(states, *next_place(x, state, segments))


class Residual(Parallel):
    """Add a layer's output to its input: y = x + f(x), x delayed by f.delay.

    Args:
        layer: f.

    Shape:
        (batch, time, d_model) -> the same shape and dtype.

    Example:
        >>> import torch
        >>> from dsptorch import FIR, Residual
        >>> Residual(FIR(1, 2))(torch.tensor([1.0, 2.0]).reshape(1, 2, 1)).flatten()
        tensor([2., 4.], grad_fn=<ViewBackward0>)
    """

    def __init__(self, layer: Layer) -> None:
        if not isinstance(layer, Layer):
            super().__init__(layer)  # says what it takes
        super().__init__(Delay(layer.d_model, 0), layer)

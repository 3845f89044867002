"""Layers in parallel, with aligned delays."""

from collections.abc import Iterable
from fractions import Fraction
from math import lcm
from typing import Any

import torch
from torch import Tensor

from dsptorch.functional.timeline import Timeline
from dsptorch.layers.base import Layer, call_layer
from dsptorch.layers.chain import Chain
from dsptorch.layers.combinators import Combined, check_layers
from dsptorch.layers.fir import Delay


class Parallel(Combined):
    """Add the outputs of layers on the same input. Faster branches are delayed to match the slowest.

    Args:
        *layers: The branches, with the same width, rate and output width.

    Shape:
        (batch, time, d_model) -> (batch, ceil(time * rate), d_out), in the same dtype.

    Raises:
        ValueError: If widths or rates differ, or a branch would need a delay by a fraction of an output sample.

    Example:
        A symmetric low-pass is 2 samples late, so the input is delayed by 2 samples before it is added:

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
        name = type(self).__name__
        layers = check_layers(name, layers)
        widths = [layer.d_model for layer in layers]
        if len(set(widths)) > 1:
            raise ValueError(f"{name} needs layers of one width, got d_model {widths}")
        outs = [layer.d_out for layer in layers]
        if len(set(outs)) > 1:
            raise ValueError(f"{name} needs layers of one width of the output, got d_out {outs}")
        super().__init__(aligned(name, layers), widths[0], outs[0])
        self.rate = layers[0].rate
        self.grid = lcm(*(layer.grid for layer in layers))
        self._delay = max(layer.delay for layer in layers)

    @property
    def lookahead(self) -> int:
        """Lookahead in samples: the greatest of all branches, not counting the delays that align them."""
        return max(layer.lookahead for layer in self.members)

    @property
    def delay(self) -> int | Fraction:
        """Delay in samples: the greatest of all branches."""
        return self._delay

    @property
    def receptive_field(self) -> int | None:
        """Receptive field: from the furthest past to the furthest future sample of any branch; None if one is None."""
        past = 0
        for layer in self.members:
            if layer.receptive_field is None:
                return None
            past = max(past, layer.receptive_field - layer.lookahead)
        return past + self.lookahead

    def process(self, x: Tensor, memory: Any, timeline: Timeline) -> tuple[Tensor, Any]:  # noqa: D102
        branches = zip(self.members, self._inputs(x), self._memories(memory), strict=True)
        results = [call_layer(layer, part, before, timeline) for layer, part, before in branches]
        return self._joined([y for y, _ in results]), tuple(after for _, after in results)

    def _inputs(self, x: Tensor) -> Iterable[Tensor]:
        """The input of each branch."""
        return [x] * len(self.layers)

    def _joined(self, outputs: list[Tensor]) -> Tensor:
        """Combine the outputs of the branches."""
        return sum(outputs[1:], outputs[0])


class Split(Parallel):
    """Apply each layer to its own group of channels. Faster layers are delayed to match the slowest.

        y = concat(f_1(x_1), ..., f_n(x_n)),   x = concat(x_1, ..., x_n)

    Args:
        *layers: One layer for each group, in the order of the channels, all with the same rate.

    Shape:
        (batch, time, sum of d_model) -> (batch, ceil(time * rate), sum of d_out), in the same dtype.

    Raises:
        ValueError: If rates differ, or a group would need a delay by a fraction of an output sample.

    Example:
        The first group is one sample late, so the second is delayed by one sample too:

        >>> import torch
        >>> from dsptorch import Delay, Split
        >>> layer = Split(Delay(1, 1), Delay(2, 0))
        >>> layer(torch.tensor([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]))
        tensor([[[0., 0., 0.],
                 [1., 2., 3.]]])
    """

    def __init__(self, *layers: Layer) -> None:
        layers = check_layers("Split", layers)
        Combined.__init__(
            self,
            aligned("Split", layers),
            sum(layer.d_model for layer in layers),
            sum(layer.d_out for layer in layers),
        )
        self.rate = layers[0].rate
        self.grid = lcm(*(layer.grid for layer in layers))
        self._delay = max(layer.delay for layer in layers)

    def _inputs(self, x: Tensor) -> Iterable[Tensor]:
        groups: tuple[Tensor, ...] = x.split([layer.d_model for layer in self.members], -1)
        return groups

    def _joined(self, outputs: list[Tensor]) -> Tensor:
        return torch.cat(outputs, -1)


class Residual(Parallel):
    """Add a layer's output to its input: y = x + f(x), with x delayed by f.delay.

    Args:
        layer: The layer f, of rate 1, which keeps the width.

    Shape:
        (batch, time, d_model) -> the same shape and dtype.

    Example:
        >>> import torch
        >>> from dsptorch import FIR, Residual
        >>> Residual(FIR(1, 2))(torch.tensor([1.0, 2.0]).reshape(1, 2, 1)).flatten()
        tensor([2., 4.], grad_fn=<ViewBackward0>)
    """

    def __init__(self, layer: Layer) -> None:
        (layer,) = check_layers("Residual", (layer,))
        super().__init__(Delay(layer.d_model, 0), layer)


def aligned(name: str, layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """Return the layers, each delayed at its output to match the slowest."""
    rates = [layer.rate for layer in layers]
    if len(set(rates)) > 1:
        raise ValueError(f"{name} needs layers of one rate, got {', '.join(map(str, rates))}")
    slowest = max(layers, key=lambda layer: layer.delay)
    late = [(slowest.delay - layer.delay) * layer.rate for layer in layers]
    for layer, samples in zip(layers, late, strict=True):
        if Fraction(samples).denominator > 1:
            raise ValueError(
                f"{name} aligns delays by whole output samples, got a delay of {slowest.delay} input samples of "
                f"{type(slowest).__name__} and {layer.delay} of {type(layer).__name__}, {samples} output samples "
                "apart; choose filters whose delays differ by a whole number"
            )
    return tuple(
        Chain(layer, Delay(layer.d_out, int(samples))) if samples else layer
        for layer, samples in zip(layers, late, strict=True)
    )

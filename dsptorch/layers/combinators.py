"""Layers made of layers."""

from collections.abc import Iterable
from fractions import Fraction
from math import floor, lcm
from typing import Any

import torch
from torch import Tensor, nn

from dsptorch.functional.timeline import Timeline, outputs_before
from dsptorch.layers.base import Layer, whole
from dsptorch.layers.fir import Delay


class Combined(Layer):
    """Several layers as one.

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
        """The layers, first to last."""
        return [layer for layer in self.layers if isinstance(layer, Layer)]

    @property
    def period(self) -> int | None:
        """The least common multiple of the layers' periods; None if one is None."""
        periods = [layer.period for layer in self.members]
        known = [period for period in periods if period is not None]
        return lcm(*known) if len(known) == len(periods) else None

    def _memories(self, memory: Any) -> tuple[Any, ...]:
        return (None,) * len(self.layers) if memory is None else memory[: len(self.layers)]


class Chain(Combined):
    """Apply layers one after another.

    Where layers change the rate, outputs that are not yet due wait, so that ceil(t * rate) are out after t inputs. So
    a chain that decimates by 4, filters, and upsamples by 4 has rate 1 and delay 0, and streams sample by sample.

    Args:
        *layers: The layers, first to last. The width that one makes is the width that the next one takes.

    Shape:
        (batch, time, d_model) -> (batch, ceil(time * rate), d_out), in the same dtype.

    Example:
        >>> import torch
        >>> from dsptorch import FIR, Chain, Multirate
        >>> layer = Chain(FIR(8, 3), Multirate(8))
        >>> layer.receptive_field, layer.period
        (13, 2)
    """

    def __init__(self, *layers: Layer) -> None:
        layers = check_layers("Chain", layers)
        for first, then in zip(layers, layers[1:], strict=False):
            if first.d_out != then.d_model:
                raise ValueError(
                    f"Chain needs layers whose widths meet, got {first.d_out} channels out of "
                    f"{type(first).__name__} and d_model={then.d_model} of the {type(then).__name__} after it"
                )
        super().__init__(layers, layers[0].d_model, layers[-1].d_out)
        self._rates = [Fraction(1)]  # before each layer, and after the last
        for layer in layers:
            self._rates.append(self._rates[-1] * layer.rate)
        self.rate = self._rates[-1]
        self.grid = lcm(*((rate / layer.grid).denominator for rate, layer in self._stages()))
        self._holds_back = any(self._made(t) > outputs_before(t, self.rate) for t in range(self.grid))

    @property
    def lookahead(self) -> int:
        """Input samples of lookahead: the sum over the layers."""
        # In integers, because Dynamo, which meets this in `step`, does not compute with fractions.
        return sum(-(-layer.lookahead * rate.denominator // rate.numerator) for rate, layer in self._stages())

    @property
    def delay(self) -> int | Fraction:
        """Input samples of delay: the sum over the layers."""
        return whole(sum((layer.delay / rate for rate, layer in self._stages()), Fraction(0)))

    @property
    def period(self) -> int | None:
        """The least number of input samples that is a multiple of each layer's period; None if one has none."""
        periods = [(rate, layer.period) for rate, layer in self._stages()]
        known = [(rate / period).denominator for rate, period in periods if period is not None]
        return lcm(*known) if len(known) == len(periods) else None

    @property
    def receptive_field(self) -> int | None:
        """The reaches of the layers into the past and future, added up; None if one is None."""
        past = Fraction(0)
        for rate, layer in self._stages():
            if layer.receptive_field is None:
                return None
            # Output n stands at input floor(n / rate): as much as is rounded off, a sample is older.
            rounded = 1 - Fraction(1, layer.rate.numerator)
            past += (layer.receptive_field - 1 - layer.lookahead + rounded) / rate
        return floor(past) + 1 + self.lookahead

    def process(self, x: Tensor, memory: Any, timeline: Timeline) -> tuple[Tensor, Any]:  # noqa: D102
        y, clock, memories = x, timeline, []
        for layer, before in zip(self.members, self._memories(memory), strict=True):
            y, after = layer.process(y, before, clock)
            clock = clock.resampled(layer.rate)
            memories.append(after)
        if not self._holds_back:
            return y, tuple(memories)
        if memory is not None:
            y = torch.cat([memory[-1], y], 1)
        due = outputs_before(timeline.phase + x.shape[1], self.rate) - outputs_before(timeline.phase, self.rate)
        return y[:, :due], (*memories, y[:, due:].clone())

    def _stages(self) -> list[tuple[Fraction, Layer]]:
        """Each layer, with the rate of its input."""
        return list(zip(self._rates, self.members, strict=False))

    def _made(self, time: int) -> int:
        """How many outputs the layers make of `time` inputs."""
        for layer in self.members:
            time = outputs_before(time, layer.rate)
        return time


class Parallel(Combined):
    """Add the outputs of layers on the same input, the quicker ones delayed to the slowest.

    Args:
        *layers: The branches, of one width, rate and width of the output.

    Shape:
        (batch, time, d_model) -> (batch, ceil(time * rate), d_out), in the same dtype.

    Raises:
        ValueError: If widths or rates differ, or a branch would have to be delayed by a part of an output sample.

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
        """Samples of lookahead: the greatest of any branch. A branch that is delayed counts as if it were not."""
        return max(layer.lookahead for layer in self.members)

    @property
    def delay(self) -> int | Fraction:
        """Samples of delay: the greatest of any branch."""
        return self._delay

    @property
    def receptive_field(self) -> int | None:
        """From the furthest past to the furthest future of any branch; None if one is None."""
        past = 0
        for layer in self.members:
            if layer.receptive_field is None:
                return None
            past = max(past, layer.receptive_field - layer.lookahead)
        return past + self.lookahead

    def process(self, x: Tensor, memory: Any, timeline: Timeline) -> tuple[Tensor, Any]:  # noqa: D102
        branches = zip(self.members, self._inputs(x), self._memories(memory), strict=True)
        results = [layer.process(part, before, timeline) for layer, part, before in branches]
        return self._joined([y for y, _ in results]), tuple(after for _, after in results)

    def _inputs(self, x: Tensor) -> Iterable[Tensor]:
        """The input of each branch."""
        return [x] * len(self.layers)

    def _joined(self, outputs: list[Tensor]) -> Tensor:
        """The output, of those of the branches."""
        return sum(outputs[1:], outputs[0])


class Split(Parallel):
    """Apply each layer to a group of channels of its own, the quicker ones delayed to the slowest.

        y = concat(f_1(x_1), ..., f_n(x_n)),   x = concat(x_1, ..., x_n)

    Args:
        *layers: One for each group, in the order of the channels, of one rate.

    Shape:
        (batch, time, sum of d_model) -> (batch, ceil(time * rate), sum of d_out), in the same dtype.

    Raises:
        ValueError: If rates differ, or a group would have to be delayed by a part of an output sample.

    Example:
        >>> import torch
        >>> from dsptorch import FIR, Delay, Split
        >>> layer = Split(Delay(1, 1), Delay(2, 0))
        >>> layer(torch.tensor([[[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]]]))
        tensor([[[0., 1., 1.],
                 [1., 2., 2.]]])
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
        return x.split([layer.d_model for layer in self.members], -1)

    def _joined(self, outputs: list[Tensor]) -> Tensor:
        return torch.cat(outputs, -1)


class Residual(Parallel):
    """Add a layer's output to its input: y = x + f(x), x delayed by f.delay.

    Args:
        layer: f, of rate 1, which keeps the width.

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


def check_layers(name: str, layers: Iterable[Any]) -> tuple[Layer, ...]:
    """Return layers, at least one, or raise."""
    layers = tuple(layers)
    if not layers:
        raise ValueError(f"{name} needs at least one layer")
    for layer in layers:
        if not isinstance(layer, Layer):
            raise TypeError(
                f"{name} takes dsptorch layers, got {type(layer).__name__}; "
                "wrap a module that treats every time step by itself in Pointwise(module, d_model)"
            )
    return layers


def aligned(name: str, layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """The layers, each delayed at its output to the slowest, or raise."""
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


"""Lifting: a two-band split with any modules as predict and update steps, and an exact inverse."""

from fractions import Fraction
from math import lcm
from typing import Any

import torch
from torch import Tensor, nn

from dsptorch.functional.blocks import from_blocks, to_blocks
from dsptorch.functional.timeline import Timeline
from dsptorch.layers.at_rate import layer_of
from dsptorch.layers.base import Layer, call_layer
from dsptorch.layers.combinators import Combined


class _Steps(Combined):
    """The lifting steps, shared by both directions.

    Args:
        steps: The layers, first to last.
        d_model: The width of the input.
        d_out: The width of the output.
    """

    def __init__(self, steps: list[Layer], d_model: int, d_out: int) -> None:
        super().__init__(tuple(steps), d_model, d_out)
        self._frame_grid = lcm(*(step.grid for step in steps))

    @property
    def frame_lookahead(self) -> int:
        """Lookahead in frames: the sum over the steps."""
        return sum(step.lookahead for step in self.members)

    @property
    def frames_before(self) -> int | None:
        """Number of past frames that are used; None if unbounded."""
        past = 0
        for step in self.members:
            if step.receptive_field is None:
                return None
            past += step.receptive_field - 1 - step.lookahead
        return past

    def lift(
        self, pair: list[Tensor], memories: tuple[Any, ...], clock: Timeline, *, inverse: bool
    ) -> tuple[list[Tensor], tuple[Any, ...]]:
        """Apply all steps to the pair (odd, even), forwards or backwards."""
        after: list[Any] = list(memories)
        numbers = range(len(self.layers))
        for i in reversed(numbers) if inverse else numbers:
            source, target = i % 2, 1 - i % 2
            change, after[i] = call_layer(self.members[i], pair[source], memories[i], clock)
            subtracts = (i % 2 == 0) != inverse
            pair[target] = pair[target] - change if subtracts else pair[target] + change
        return pair, tuple(after)


class Lifting(_Steps):
    """Split a signal into a coarse and a detail band by prediction, with perfect reconstruction for any modules.

    The samples of a frame are o[n] = x[2n - 1] and e[n] = x[2n]. Each is predicted or updated from the other:

        d = e - predict(o),    s = o + update(d),    y = concat(s, d)

    `synthesis()` returns the layer that inverts the steps in reverse order, o = s - update(d), e = d + predict(o). The
    inverse is exact for any modules, including nonlinear ones. It is bit-exact on whole numbers, with modules that
    return whole numbers.

    Args:
        *steps: predict, update, and optionally more steps in alternation: layers of rate 1 that keep the width, or any
            modules (batch, frames, d_model) -> the same shape that are causal in their frames.
        d_model: The width. None takes the attribute `d_model` of the first step that has one.

    Shape:
        (batch, time, d_model) -> (batch, ceil(time / 2), 2 * d_model), in the same dtype: the coarse band first.

    Raises:
        TypeError, ValueError: If an argument is not as described.

    Example:
        >>> from dsptorch import FIR
        >>> def tanh_of_taps():
        ...     return torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.Tanh())
        >>> layer = Lifting(tanh_of_taps(), tanh_of_taps(), d_model=1)
        >>> x = torch.randn(2, 7, 1)
        >>> back = layer.synthesis()(layer(x))
        >>> torch.allclose(back[:, 1:8], x, atol=1e-6)        # one sample late
        True

    References:
        Sweldens, "The lifting scheme: a construction of second generation wavelets", SIAM Journal on Mathematical
        Analysis 29(2), 1998, pages 511-546.
        Calderbank, Daubechies, Sweldens and Yeo, "Wavelet transforms that map integers to integers", Applied and
        Computational Harmonic Analysis 5(3), 1998, pages 332-369.
    """

    rate = Fraction(1, 2)

    def __init__(self, *steps: nn.Module, d_model: int | None = None) -> None:
        if not steps:
            raise ValueError("Lifting needs at least one step: Lifting(predict, update)")
        widths = (getattr(step, "d_model", None) for step in steps)
        if d_model is None:
            d_model = next((width for width in widths if width is not None), None)
        layers = [layer_of("Lifting", step, d_model) for step in steps]
        width = layers[0].d_model
        for step in layers:
            if step.rate != 1 or (step.d_model, step.d_out) != (width, width):
                raise ValueError(
                    f"Lifting needs steps of rate 1 that keep a width of {width}, got {type(step).__name__} of rate "
                    f"{step.rate}, {step.d_model} to {step.d_out} channels"
                )
            if step.delay:
                raise ValueError(
                    f"Lifting needs steps without delay, got delay={step.delay} of {type(step).__name__}; predict from "
                    "the present frame and those before it, or look ahead, on whole sequences, with causal=False"
                )
        super().__init__(layers, width, 2 * width)
        self.grid = 2 * self._frame_grid

    def synthesis(self) -> "InverseLifting":
        """Return the layer that reconstructs the signal from the bands, with these steps."""
        return InverseLifting(self)

    @property
    def lookahead(self) -> int:
        """Lookahead in input samples: twice that of the steps in frames."""
        return 2 * self.frame_lookahead

    @property
    def period(self) -> int | None:
        """Twice the period of the steps."""
        frames = super().period
        return None if frames is None else 2 * frames

    @property
    def receptive_field(self) -> int | None:
        """Receptive field: the number of samples in the frames that the steps use."""
        return None if self.frames_before is None else 2 * self.frames_before + 2 + self.lookahead

    def process(self, x: Tensor, memory: Any, timeline: Timeline) -> tuple[Tensor, Any]:  # noqa: D102
        before, *memories = memory or (None, *[None] * len(self.layers))
        frames, kept = to_blocks(x, 2, before, timeline)
        clock = timeline.resampled(self.rate)
        pair, after = self.lift(list(frames.chunk(2, -1)), tuple(memories), clock, inverse=False)
        return torch.cat(pair, -1), (kept, *after)


class InverseLifting(_Steps):
    """Reconstruct a signal from the bands of a `Lifting`. The two layers share their steps.

        o = s - update(d),    e = d + predict(o),    y[2n] = o[n],    y[2n + 1] = e[n]

    The output is one sample late.

    Args:
        lifting: The `Lifting`.

    Shape:
        (batch, frames, 2 * d) -> (batch, 2 * frames, d), in the same dtype, with d the width of the lifting.

    Raises:
        TypeError: If the argument is not a `Lifting`.

    Example:
        >>> from dsptorch import FIR
        >>> lifting = Lifting(FIR(1), FIR(1))
        >>> layer = InverseLifting(lifting)
        >>> layer.rate, layer.delay
        (Fraction(2, 1), Fraction(1, 2))
        >>> layer(lifting(torch.arange(1.0, 6.0).reshape(1, 5, 1))).flatten().tolist()
        [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]

    References:
        See `Lifting`.
    """

    rate = Fraction(2)

    def __init__(self, lifting: Lifting) -> None:
        if not isinstance(lifting, Lifting):
            raise TypeError(f"InverseLifting takes a Lifting, got {type(lifting).__name__}")
        super().__init__(lifting.members, lifting.d_out, lifting.d_model)
        self.grid = self._frame_grid

    @property
    def lookahead(self) -> int:
        """Lookahead in frames: that of the steps."""
        return self.frame_lookahead

    @property
    def delay(self) -> Fraction:
        """Delay: half a frame, which is one sample."""
        return Fraction(1, 2)

    @property
    def receptive_field(self) -> int | None:
        """Receptive field: the number of frames that the steps use."""
        return None if self.frames_before is None else self.frames_before + 1 + self.lookahead

    def process(self, x: Tensor, memory: Any, timeline: Timeline) -> tuple[Tensor, Any]:  # noqa: D102
        memories = memory or (None,) * len(self.layers)
        pair, after = self.lift(list(x.chunk(2, -1)), memories, timeline, inverse=True)
        return from_blocks(torch.cat(pair, -1), 2), after

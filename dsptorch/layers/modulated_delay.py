"""Delays modulated by oscillators: vibrato and chorus."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from dsptorch.functional.filtering import latest, with_history
from dsptorch.functional.fractional_delay import allpass_delay, fractional_delay
from dsptorch.functional.timeline import Timeline
from dsptorch.functional.validate import check_int
from dsptorch.hyperparams import (
    BoundedHyperparam,
    Hyperparam,
    at_least_float32,
    check_hyperparam,
    current,
    fixed_repr,
)
from dsptorch.layers.base import Layer
from dsptorch.layers.lfo import LFO, check_lfo, over_channels

_SHORTEST = {"linear": 0.0, "allpass": 0.5}
"""The shortest delay in samples, by the interpolation."""


class ModulatedDelay(Layer):
    """Delay each channel by a time that a low-frequency oscillator modulates, and mix the result with the input.

        y[t, c] = (1 - mix_c) x[t, c] + mix_c x(t - D_c(t), c)
        D_c(t)  = min_delay_c + depth_c (max_delay - min_delay_c) (1 + w_c(t)) / 2

    x is interpolated between samples: see `fractional_delay` and `allpass_delay`. The delay stays in [min_delay,
    max_delay] for any learned values, so no output uses a later sample. With mix = 1 the effect is a vibrato, with mix
    about 0.5 a chorus. The wave is a function of the absolute position t, so the layer has no period: its period is
    None.

    Args:
        d_model: The width.
        max_delay: The longest delay in samples, at least 1.
        lfo: The oscillators. Their number divides d_model, and each drives a group of channels of equal
            size. None takes `LFO(1)`.
        min_delay: The shortest delay in samples, in [0, max_delay], or in [0.5, max_delay] with "allpass". None takes
            the least allowed value, fixed.
        depth: The share of the range above `min_delay` that the oscillator uses, in [0, 1]. None is learned, from 0.5.
        mix: The share of the delayed signal, in [0, 1]. None is learned, from 0.5.
        interpolation: "linear", or "allpass", which does not attenuate high frequencies but has an unbounded receptive
            field.
        delay: The declared delay of the output in samples, at least 0, which `Parallel` and `Residual` use to align
            branches. (It does not follow from the other arguments: the true delay varies, and the output contains the
            undelayed input.)
        device: The device of the parameters.
        dtype: Accepted as in every layer. The parameters are float32 at least for any dtype.

    `min_delay`, `depth` and `mix` are fixed if given as numbers, and learned if given as a `BoundedHyperparam`, with
    one value for all channels or one for each oscillator.

    Shape:
        (batch, time, d_model) -> the same shape and dtype.

    Raises:
        TypeError, ValueError: If an argument is not as described.

    Example:
        >>> from dsptorch import LFO, ModulatedDelay
        >>> vibrato = ModulatedDelay(1, max_delay=2, lfo=LFO(1, freq=0.25), depth=1.0, mix=1.0)
        >>> vibrato(torch.arange(1.0, 7.0).reshape(1, 6, 1)).flatten().detach()   # delays 1, 2, 1, 0, 1, 2
        tensor([0., 0., 2., 4., 4., 4.])
        >>> vibrato.receptive_field
        3

    References:
        J. Dattorro, "Effect design, part 2: delay-line modulation and chorus", Journal of the Audio Engineering Society
        45(10), 1997, pages 764-788.
    """

    lookahead = 0
    period = None

    def __init__(
        self,
        d_model: int,
        max_delay: int,
        lfo: LFO | None = None,
        *,
        min_delay: Hyperparam | None = None,
        depth: Hyperparam | None = None,
        mix: Hyperparam | None = None,
        interpolation: str = "linear",
        delay: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(d_model)
        self.max_delay = check_int("max_delay", max_delay, least=1)
        self._delay = check_int("delay", delay, least=0)
        if interpolation not in _SHORTEST:
            raise ValueError(f"interpolation must be 'linear' or 'allpass', got {interpolation!r}")
        self.interpolation = interpolation
        lfo = check_lfo(lfo, self.d_model, device)
        shortest = _SHORTEST[interpolation]
        min_delay = shortest if min_delay is None else min_delay
        depth = BoundedHyperparam(0.5, 0.0, 1.0, device=device) if depth is None else depth
        mix = BoundedHyperparam(0.5, 0.0, 1.0, device=device) if mix is None else mix
        self.min_delay = check_hyperparam("min_delay", min_delay, shortest, float(max_delay), width=lfo.num)
        self.depth = check_hyperparam("depth", depth, 0.0, 1.0, width=lfo.num)
        self.mix = check_hyperparam("mix", mix, 0.0, 1.0, width=lfo.num)
        self.lfo = lfo

    @property
    def delay(self) -> int:
        """The declared delay in samples."""
        return self._delay

    @property
    def receptive_field(self) -> int | None:
        """max_delay + 1; None with "allpass", whose response is infinite."""
        return self.max_delay + 1 if self.interpolation == "linear" else None

    def delays(self, position: Tensor) -> Tensor:
        """The delay of each oscillator's channels in samples, at absolute positions: int64, (...) -> (..., num)."""
        shortest, depth = current(self.min_delay), current(self.depth)
        waves: Tensor = self.lfo(position)
        moved = shortest + depth * (self.max_delay - shortest) * (1 + waves) / 2
        return moved.clamp(_SHORTEST[self.interpolation], float(self.max_delay))  # for rounding

    def process(self, x: Tensor, memory: Any, timeline: Timeline) -> tuple[Tensor, Any]:  # noqa: D102
        longest, segments = self.max_delay, timeline.segments
        history, last = memory if isinstance(memory, tuple) else (memory, None)
        seen = with_history(x, history, longest)
        moved = self.delays(timeline.positions(x))
        if self.interpolation == "linear":
            late = fractional_delay(seen, moved, longest, history=longest, segments=segments)
            memory = latest(seen, longest, segments)
        else:
            late, last = allpass_delay(seen, moved, longest, last, history=longest, segments=segments)
            memory = latest(seen, longest, segments), last
        return self._mixed(x, late), memory

    def _mixed(self, x: Tensor, late: Tensor) -> Tensor:
        """Mix the input and the delayed signal."""
        mix = current(self.mix)
        if not isinstance(mix, Tensor):
            return torch.lerp(x, late, mix)
        mix = over_channels(mix, self.d_model)
        dtype = torch.promote_types(x.dtype, mix.dtype)
        return torch.lerp(x.to(dtype), late.to(dtype), mix.to(dtype)).to(x.dtype)

    def extra_repr(self) -> str:  # noqa: D102
        fixed = fixed_repr(min_delay=self.min_delay, depth=self.depth, mix=self.mix)
        late = f", delay={self._delay}" if self._delay else ""
        return f"{self.d_model}, max_delay={self.max_delay}{fixed}, interpolation={self.interpolation}{late}"

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "ModulatedDelay":
        super()._apply(at_least_float32(fn), recurse)  # type: ignore[no-untyped-call]
        return self

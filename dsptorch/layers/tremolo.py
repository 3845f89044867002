"""Amplitude modulation by oscillators."""

from collections.abc import Callable

import torch
from torch import Tensor

from dsptorch.functional.timeline import Timeline
from dsptorch.hyperparams import (
    BoundedHyperparam,
    Hyperparam,
    at_least_float32,
    check_hyperparam,
    current,
    fixed_repr,
    real_tensors,
)
from dsptorch.layers.base import Layer
from dsptorch.layers.lfo import LFO, check_lfo, over_channels

_INITS = {"identity": 0.0, "half": 0.5}


class Tremolo(Layer):
    """Modulate the amplitude of each channel with a low-frequency oscillator.

        y[t, c] = (1 + depth_c w_c(t)) x[t, c]

    The wave is a function of the absolute position t, so the layer has no period: its period is None.

    Args:
        d_model: The width.
        lfo: The oscillators. Their number divides d_model, and each drives a group of channels of equal
            size. None takes `LFO(1)`.
        depth: The modulation depth, in [-1, 1], so that no amplitude changes its sign. A number is fixed. A
            `BoundedHyperparam` is learned, with one value for all channels or one for each oscillator. None is learned,
            one for each oscillator.
        init: The initial value of a `depth` that is None. "identity": 0, so y = x. "half": 0.5.
        device: The device of the parameters.
        dtype: Accepted as in every layer. The parameters are float32 at least for any dtype.

    Shape:
        (batch, time, d_model) -> the same shape and dtype.

    Raises:
        TypeError, ValueError: If an argument is not as described.

    Example:
        >>> from dsptorch import LFO, Tremolo
        >>> layer = Tremolo(1, LFO(1, freq=0.25), depth=0.5)
        >>> layer(torch.ones(1, 5, 1)).flatten().tolist()
        [1.0, 1.5, 1.0, 0.5, 1.0]
        >>> torch.equal(Tremolo(1)(torch.ones(1, 5, 1)), torch.ones(1, 5, 1))
        True

    References:
        U. Zolzer (ed.), DAFX: Digital Audio Effects, 2nd ed., 2011, sec. 3.3 (amplitude modulation).
    """

    lookahead = 0
    period = None
    receptive_field = 1

    def __init__(
        self,
        d_model: int,
        lfo: LFO | None = None,
        *,
        depth: Hyperparam | None = None,
        init: str = "identity",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(d_model)
        if init not in _INITS:
            raise ValueError(f"init must be one of {', '.join(_INITS)}, got {init!r}")
        lfo = check_lfo(lfo, self.d_model, device)
        if depth is None:
            with real_tensors():
                first = torch.full((lfo.num,), _INITS[init], dtype=torch.float32)
            depth = BoundedHyperparam(first, -1.0, 1.0, device=device)
        self.depth = check_hyperparam("depth", depth, -1.0, 1.0, width=lfo.num)
        self.lfo = lfo

    def process(self, x: Tensor, memory: None, timeline: Timeline) -> tuple[Tensor, tuple[()]]:  # noqa: D102
        gain = 1 + current(self.depth) * self.lfo(timeline.positions(x))
        return (x * over_channels(gain, self.d_model)).to(x.dtype), ()

    def extra_repr(self) -> str:  # noqa: D102
        return f"{self.d_model}{fixed_repr(depth=self.depth)}"

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Tremolo":
        super()._apply(at_least_float32(fn), recurse)  # type: ignore[no-untyped-call]
        return self

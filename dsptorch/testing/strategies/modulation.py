"""Oscillators, and layers modulated by them."""

import torch
from hypothesis import strategies as st

from dsptorch.hyperparams import BoundedHyperparam
from dsptorch.layers import LFO, Layer, ModulatedDelay, Tremolo

MODULATED: tuple[type[Layer], ...] = (Tremolo, ModulatedDelay)
"""The kinds that `modulated_layers` draws."""


@st.composite
def lfos(draw: st.DrawFn, max_num: int = 3) -> LFO:
    """LFO with any arguments; the simplest is one sine of frequency 0.05 that begins at 0.

    Args:
        max_num: The most oscillators, at least 1.

    Example:
        >>> from hypothesis import find
        >>> find(lfos(), lambda lfo: True)
        LFO(1, freq=0.05, waveform=sine)
        >>> find(lfos(), lambda lfo: lfo.waveform == "saw" and lfo.num == 2)
        LFO(2, freq=0.05, waveform=saw, sharpness=0.9)
    """
    return draw(_lfos(draw(st.integers(1, max_num))))


@st.composite
def _lfos(draw: st.DrawFn, num: int) -> LFO:
    """The same, with `num` oscillators."""
    learned = st.builds(lambda: BoundedHyperparam(torch.full((num,), 0.1), 0.0, 0.5))
    freq = draw(st.one_of(st.just(0.05), st.just((0.02, 0.2)), learned))
    waveform = draw(st.sampled_from(("sine", "triangle", "square", "saw")))
    phase: str | float = draw(st.one_of(st.just(0.0), st.just("spread"), st.just(0.3)))
    return LFO(num, freq, phase=phase, waveform=waveform, sharpness=draw(st.sampled_from((0.9, 0.5))))


@st.composite
def modulated_layers(draw: st.DrawFn, d_model: int = 4, kind: type[Layer] | None = None) -> Layer:
    """Tremolo and ModulatedDelay with any arguments; the simplest is a Tremolo.

    Args:
        d_model: The width, at least 1.
        kind: One of these; None: any.

    Example:
        >>> from hypothesis import find
        >>> find(modulated_layers(kind=Tremolo), lambda layer: True)
        Tremolo(
          4, depth=0.5
          (lfo): LFO(1, freq=0.05, waveform=sine)
        )
    """
    kind = draw(st.sampled_from(MODULATED)) if kind is None else kind
    lfo = draw(_lfos(draw(st.sampled_from([num for num in (1, 2, 3, 4) if d_model % num == 0]))))
    if kind is Tremolo:
        return Tremolo(
            d_model,
            lfo,
            depth=draw(st.sampled_from((0.5, None))),
            init=draw(st.sampled_from(("identity", "half"))),
        )
    return ModulatedDelay(
        d_model,
        draw(st.integers(1, 4)),
        lfo,
        min_delay=draw(st.sampled_from((None, 0.75))),
        depth=draw(st.sampled_from((0.5, None))),
        mix=draw(st.sampled_from((1.0, None))),
        interpolation=draw(st.sampled_from(("linear", "allpass"))),
        delay=draw(st.integers(0, 1)),
    )

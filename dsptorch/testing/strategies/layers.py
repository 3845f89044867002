"""Layers, with any of their arguments, and their inputs."""

from collections.abc import Sequence

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from dsptorch.hyperparams import BoundedHyperparam
from dsptorch.layers import (
    FIR,
    Blend,
    Chain,
    ChannelBottleneck,
    Delay,
    Layer,
    LFORouting,
    Multirate,
    Parallel,
    Pointwise,
    Residual,
)
from dsptorch.testing.strategies.signals import shapes, signals


@st.composite
def hyperparameters(draw: st.DrawFn, integer: bool = False) -> BoundedHyperparam:
    """Bounded hyperparameters: linear, logarithmic, or integer ones, anywhere within their bounds.

    Args:
        integer: Whether the values are integers.

    Example:
        >>> from hypothesis import find
        >>> find(hyperparameters(), lambda h: True)
        BoundedHyperparam(0.5, low=0, high=1)
    """
    if integer:
        low = draw(st.integers(1, 3))
        high = low + draw(st.integers(1, 3))
        return BoundedHyperparam(float(draw(st.integers(low, high))), low, high, integer=True)
    log = draw(st.booleans())
    least = draw(st.sampled_from((0.25, 0.5, 1.0) if log else (0.0, -1.0, 0.25)))
    width = draw(st.sampled_from((1.0, 0.5, 2.0)))
    share = draw(st.sampled_from((0.5, 0.25, 0.75, 0.1)))
    return BoundedHyperparam(least + share * width, least, least + width, log=log)


@st.composite
def layers(
    draw: st.DrawFn,
    d_model: int = 4,
    *,
    causal: bool | None = True,
    kinds: Sequence[type[Layer]] | None = None,
    depth: int = 1,
) -> Layer:
    """Layers of this library with any of their arguments, float64, alone or combined; the simplest is a delay by 0.

    Their parameters are moved away from their tidy first values. They print as they are built.

    Args:
        d_model: The width, even.
        causal: True: none looks ahead; None: some do.
        kinds: Which single layers; None: every one.
        depth: How deep combinators nest.

    Example:
        >>> from hypothesis import find
        >>> find(layers(), lambda layer: layer.delay == 2)
        Delay(4, delay=2)
        >>> find(layers(kinds=[Multirate]), lambda layer: layer.period == 3).downsample
        3
    """
    with torch.random.fork_rng(devices=()):
        torch.default_generator.manual_seed(0)  # what draws at construction draws the same again
        layer = draw(_layers(d_model, causal, tuple(kinds or _KINDS), depth)).double()
    generator = torch.Generator().manual_seed(draw(st.integers(0, 9)))
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, dtype=torch.float64, generator=generator))
    return layer


@st.composite
def layers_with_inputs(
    draw: st.DrawFn, *, causal: bool | None = True, max_time: int = 16
) -> tuple[Layer, Tensor]:
    """A layer and a signal for it: see `layers` and `signals`.

    Args:
        causal: As for `layers`.
        max_time: The most samples.

    Example:
        >>> from hypothesis import find
        >>> layer, x = find(layers_with_inputs(), lambda case: case[0](case[1]).abs().sum() > 0)
        >>> layer, x.flatten()
        (Delay(2, delay=0), tensor([1., 0.], dtype=torch.float64))
    """
    d_model = draw(st.sampled_from((2, 4)))
    layer = draw(layers(d_model, causal=causal))
    shape = draw(shapes(max_time=max_time, max_width=1))
    return layer, draw(signals((*shape[:2], d_model)))


_KINDS = (Delay, FIR, Multirate, LFORouting, ChannelBottleneck, Pointwise)


@st.composite
def _layers(
    draw: st.DrawFn, d_model: int, causal: bool | None, kinds: tuple[type[Layer], ...], depth: int
) -> Layer:
    inner = _layers(d_model, causal, kinds, depth - 1)
    how = draw(
        st.sampled_from(("single", "Chain", "Parallel", "Residual", "Blend") if depth else ("single",))
    )
    if how == "Chain":
        return Chain(draw(inner), draw(inner))
    if how == "Parallel":
        return Parallel(draw(inner), draw(inner))
    if how == "Residual":
        return Residual(draw(inner))
    if how == "Blend":
        return Blend(draw(inner.filter(lambda layer: layer.delay == 0)))
    return _single(draw, d_model, causal, draw(st.sampled_from(kinds)))


def _single(draw: st.DrawFn, d_model: int, causal: bool | None, kind: type[Layer]) -> Layer:
    blind = True if causal else draw(st.sampled_from((True, False)))
    taps = st.integers(1, 4)
    if kind is Delay:
        return Delay(d_model, draw(st.integers(0, 3)))
    if kind is FIR:
        init = draw(st.sampled_from(("identity", "lowpass") + (("delays",) if blind else ())))
        return FIR(d_model, draw(taps), init=init, causal=blind)
    if kind is Multirate:
        factor = draw(st.one_of(st.integers(1, 3), hyperparameters(integer=True)))
        return Multirate(
            d_model, factor, levels=draw(st.integers(1, 2)), kernel_size=draw(taps), causal=blind
        )
    if kind is LFORouting:
        routes, depthwise = draw(st.sampled_from((1, 2))), draw(st.booleans())
        return LFORouting(d_model, routes, kernel_size=draw(taps), depthwise=depthwise, causal=blind)
    if kind is ChannelBottleneck:
        ratio, mix = draw(st.sampled_from((None, 0.5))), draw(st.sampled_from((None, 0.25)))
        return ChannelBottleneck(d_model, bottleneck_ratio=ratio, residual_mix=mix)
    if kind is Pointwise:
        module = nn.Tanh() if draw(st.booleans()) else nn.Linear(d_model, d_model)
        return Pointwise(module, d_model)
    raise ValueError(f"kinds must be some of {', '.join(k.__name__ for k in _KINDS)}, got {kind!r}")

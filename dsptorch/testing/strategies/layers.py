"""Layers, with any of their arguments, and their inputs."""

from collections.abc import Sequence

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from dsptorch.hyperparams import BoundedHyperparam
from dsptorch.layers import (
    FIR,
    AtRate,
    Blend,
    Chain,
    ChannelBottleneck,
    Decimate,
    Delay,
    FilterBank,
    Layer,
    LFOGate,
    LFORouting,
    Lifting,
    Multirate,
    Parallel,
    Pointwise,
    ResamplePoly,
    Residual,
    Split,
    Subbands,
    UndecimatedBank,
    Upsample,
    Wavelet,
    WaveletPacket,
)
from dsptorch.testing.strategies.modulation import MODULATED, modulated_layers
from dsptorch.testing.strategies.recurrences import RECURSIVE, recursive_layers
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
    rate: int | None = 1,
) -> Layer:
    """Layers of this library with any of their arguments, float64, alone or combined; the simplest is a delay by 0.

    Their parameters are moved away from their initial values. Their repr shows their arguments.

    Args:
        d_model: The width, at least 1.
        causal: True for causal layers only; None includes layers that look ahead.
        kinds: The classes of single layers; None for all.
        depth: The greatest nesting depth of combinators.
        rate: 1 for layers whose output is as long as the input, including those with a lower rate inside. None includes
            layers that change the rate, by 1/4 to 9.

    Example:
        >>> from hypothesis import find
        >>> find(layers(kinds=[Delay], depth=0), lambda layer: layer.delay == 2)
        Delay(4, delay=2)
        >>> find(layers(kinds=[Multirate]), lambda layer: layer.period == 3).downsample
        3
        >>> find(layers(kinds=[Decimate], rate=None, depth=0), lambda layer: layer.rate == 1 / 2)
        Decimate(4, 2, kernel_size=1, init=first)
    """
    with torch.random.fork_rng(devices=()):
        torch.default_generator.manual_seed(0)  # what draws at construction draws the same again
        layer = draw(_layers(d_model, causal, _kinds(kinds, rate), depth, rate)).double()
    generator = torch.Generator().manual_seed(draw(st.integers(0, 9)))
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, dtype=torch.float64, generator=generator))
    return layer


@st.composite
def layers_with_inputs(
    draw: st.DrawFn, *, causal: bool | None = True, max_time: int = 16, rate: int | None = 1
) -> tuple[Layer, Tensor]:
    """A layer and a signal for it: see `layers` and `signals`.

    Args:
        causal: See `layers`.
        max_time: The most samples.
        rate: As for `layers`.

    Example:
        >>> from hypothesis import find
        >>> layer, x = find(layers_with_inputs(), lambda case: case[0](case[1]).abs().sum() > 0)
        >>> layer, x.flatten()
        (Delay(2, delay=0), tensor([1., 0.], dtype=torch.float64))
    """
    d_model = draw(st.sampled_from((2, 4)))
    layer = draw(layers(d_model, causal=causal, rate=rate))
    shape = draw(shapes(max_time=max_time, max_width=1))
    return layer, draw(signals((*shape[:2], d_model)))


_KINDS: tuple[type[Layer], ...] = (
    Delay,
    FIR,
    Multirate,
    LFORouting,
    ChannelBottleneck,
    Pointwise,
    UndecimatedBank,
    *RECURSIVE,
    *MODULATED,
)
_HOWS: tuple[str, ...] = (
    "single",
    *("Chain", "Parallel", "Residual", "Blend", "LFOGate", "AtRate", "Split", "Subbands"),
)
_RESAMPLERS: tuple[type[Layer], ...] = (Decimate, Upsample, ResamplePoly)


def _kinds(kinds: Sequence[type[Layer]] | None, rate: int | None) -> tuple[type[Layer], ...]:
    if rate not in (1, None):
        raise ValueError(f"rate must be 1 or None, got {rate!r}; filter for another one")
    if kinds is None:
        return _KINDS if rate == 1 else _KINDS + _RESAMPLERS
    if rate == 1 and set(kinds) & set(_RESAMPLERS):
        raise ValueError("kinds that change the rate need rate=None")
    return tuple(kinds)


@st.composite
def _layers(
    draw: st.DrawFn,
    d_model: int,
    causal: bool | None,
    kinds: tuple[type[Layer], ...],
    depth: int,
    rate: int | None,
) -> Layer:
    same = tuple(kind for kind in kinds if kind not in _RESAMPLERS)
    hows = _HOWS if depth else _HOWS[:1]
    how = draw(st.sampled_from(hows if same else hows[:2]))
    if how == "single":
        return _single(draw, d_model, causal, draw(st.sampled_from(kinds)))
    if how == "Chain":
        part = _layers(d_model, causal, kinds, depth - 1, rate)
        return Chain(draw(part), draw(part))
    if how == "Split":
        half = d_model // 2
        groups = (half, d_model - half) if half else (d_model,)
        return Split(*(draw(_layers(width, causal, same, depth - 1, 1)) for width in groups))
    if how == "Subbands":
        bank = _bank(draw, d_model)
        return Subbands(bank, draw(_layers(bank.d_out, causal, same, depth - 1, 1)))
    return _around(draw, d_model, how, _layers(d_model, causal, same, depth - 1, 1))


def _bank(draw: st.DrawFn, d_model: int) -> FilterBank | Wavelet | WaveletPacket | Lifting:
    """A bank of two bands, or of four."""
    kind = draw(st.sampled_from((FilterBank, Lifting, Wavelet, WaveletPacket)))
    if kind is FilterBank:
        return FilterBank(d_model, 2, "lattice", overlap=draw(st.sampled_from((0.5, 1, 1.5))))
    if kind is Lifting:
        return Lifting(*(FIR(d_model, draw(st.integers(1, 3))) for _ in range(draw(st.integers(1, 2)))))
    return (Wavelet if kind is Wavelet else WaveletPacket)(d_model, "db2", draw(st.integers(1, 2)))


def _around(draw: st.DrawFn, d_model: int, how: str, inner: st.SearchStrategy[Layer]) -> Layer:
    """A combinator around layers of its own width and rate."""
    if how == "Parallel":
        return Parallel(draw(inner), draw(inner))
    if how == "Residual":
        return Residual(draw(inner))
    if how == "Blend":
        return Blend(draw(inner.filter(lambda layer: layer.delay == 0)))
    if how == "LFOGate":
        routes = draw(st.sampled_from((1, 2) if d_model % 2 == 0 else (1,)))
        inner = inner.filter(lambda layer: isinstance(layer.delay, int))
        return LFOGate(draw(inner), routes, num_lfos=draw(st.integers(1, 2)))
    module, factor = draw(inner), draw(st.integers(1, 3))
    down = Decimate(d_model, factor, init=draw(st.sampled_from(("first", "mean", "lowpass"))))
    return AtRate(module, factor, down=down, up=_upsample(draw, d_model, factor))


def _upsample(draw: st.DrawFn, d_model: int, factor: int) -> Upsample:
    return Upsample(d_model, factor, init=draw(st.sampled_from(("hold", "linear", "lowpass"))))


def _resampler(draw: st.DrawFn, d_model: int, causal: bool | None, kind: type[Layer]) -> Layer:
    if kind is Upsample:
        return _upsample(draw, d_model, draw(st.integers(1, 3)))
    if kind is Decimate:
        factor, init = draw(st.integers(1, 4)), draw(st.sampled_from(("first", "mean", "lowpass")))
        return Decimate(d_model, factor, init=init, delay=draw(st.integers(0, 2)))
    # Other rates are those of a Decimate or an Upsample, to which an example shrinks.
    up, down = draw(st.sampled_from(((2, 3), (3, 2), (3, 4))))
    return ResamplePoly(d_model, up, down)


def _single(draw: st.DrawFn, d_model: int, causal: bool | None, kind: type[Layer]) -> Layer:
    if kind in RECURSIVE:
        return draw(recursive_layers(d_model, kind))
    if kind in MODULATED:
        return draw(modulated_layers(d_model, kind))
    if kind in _RESAMPLERS:
        return _resampler(draw, d_model, causal, kind)
    if kind is UndecimatedBank:
        return UndecimatedBank(d_model, draw(st.integers(1, 3)), draw(st.integers(2, 3)))
    return _nonrecursive(draw, d_model, causal, kind)


def _nonrecursive(draw: st.DrawFn, d_model: int, causal: bool | None, kind: type[Layer]) -> Layer:
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
        routes = draw(st.sampled_from((1, 2) if d_model % 2 == 0 else (1,)))
        depthwise = draw(st.booleans())
        return LFORouting(d_model, routes, kernel_size=draw(taps), depthwise=depthwise, causal=blind)
    if kind is ChannelBottleneck:
        ratio, mix = draw(st.sampled_from((None, 0.5))), draw(st.sampled_from((None, 0.25)))
        return ChannelBottleneck(d_model, bottleneck_ratio=ratio, residual_mix=mix)
    if kind is Pointwise:
        module = nn.Tanh() if draw(st.booleans()) else nn.Linear(d_model, d_model)
        return Pointwise(module, d_model)
    names = ", ".join(k.__name__ for k in _KINDS + _RESAMPLERS)
    raise ValueError(f"kinds must be some of {names}, got {kind!r}")

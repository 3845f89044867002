"""The layers whose numbers are recorded: a table of its own, which no other test changes."""

from collections.abc import Callable

import torch
from torch import nn

import dsptorch as d

WIDTH = 4
TENTH = torch.tensor(0.1).item()
"""In float32, so that a layer in float64 has the same frequency to the last bit."""


def factor(value: float, low: int, high: int) -> d.BoundedHyperparam:
    return d.BoundedHyperparam(value, low, high, integer=True)


def linear() -> nn.Linear:
    return nn.Linear(WIDTH, WIDTH)


def deep() -> d.Layer:
    inner = d.Chain(d.Multirate(WIDTH, 3, kernel_size=3), d.LFORouting(WIDTH, 2), d.Delay(WIDTH, 2))
    banks = d.Parallel(
        d.FIR(WIDTH, 5, init="lowpass", delay=2), inner, d.Residual(d.FIR(WIDTH, 2, init="delays"))
    )
    tail = d.Chain(d.ChannelBottleneck(WIDTH), d.Blend(d.Multirate(WIDTH, levels=2, kernel_size=2)))
    return d.Chain(d.Residual(banks), d.Pointwise(linear(), WIDTH), d.Blend(tail), d.FIR(WIDTH, 3))


def deep_filters() -> d.Layer:
    """Linear throughout, so that all of it may fold."""
    pair = d.Chain(d.Multirate(WIDTH, 2, kernel_size=2), d.Multirate(WIDTH, 3, kernel_size=2))
    return d.Blend(d.Parallel(d.Residual(d.FIR(WIDTH, 3, init="delays")), pair, d.FIR(WIDTH, 2)))


CAUSAL: dict[str, Callable[[], d.Layer]] = {
    "FIR identity": lambda: d.FIR(WIDTH, 4),
    "FIR lowpass": lambda: d.FIR(WIDTH, 5, init="lowpass", cutoff=0.3, delay=2),
    "FIR delays": lambda: d.FIR(WIDTH, 6, init="delays"),
    "FIR taps": lambda: d.FIR(WIDTH, 3, init=torch.linspace(-1, 1, 3 * WIDTH).reshape(3, WIDTH)),
    "FIR one tap": lambda: d.FIR(WIDTH, 1),
    "Delay": lambda: d.Delay(WIDTH, 3),
    "Multirate": lambda: d.Multirate(WIDTH),
    "Multirate fixed": lambda: d.Multirate(WIDTH, mix_ratio=0.3, detail_strength=0.6),
    "Multirate of each channel": lambda: d.Multirate(
        WIDTH, 2, mix_ratio=d.BoundedHyperparam(torch.linspace(0.25, 0.55, WIDTH), 0.2, 0.6)
    ),
    "Multirate one tap": lambda: d.Multirate(WIDTH, kernel_size=1),
    "Multirate one tap, 3": lambda: d.Multirate(WIDTH, 3, kernel_size=1, levels=2),
    "Multirate 5 taps": lambda: d.Multirate(WIDTH, 2, kernel_size=5),
    "Multirate 7 taps": lambda: d.Multirate(WIDTH, 3, kernel_size=7),
    "Multirate 16, of less than two periods": lambda: d.Multirate(WIDTH, 16, kernel_size=3),
    "Multirate learned": lambda: d.Multirate(WIDTH, factor(2.4, 1, 3), kernel_size=3),
    "Multirate learned at an integer": lambda: d.Multirate(WIDTH, factor(2.0, 1, 4), kernel_size=2),
    "Multirate learned levels": lambda: d.Multirate(WIDTH, factor(2.4, 2, 3), levels=2, kernel_size=2),
    "LFORouting": lambda: d.LFORouting(WIDTH, 2),
    "LFORouting one route": lambda: d.LFORouting(WIDTH, 1, num_lfos=3, kernel_size=1),
    "LFORouting fixed": lambda: d.LFORouting(WIDTH, 4, residual_mix=0.3, gate_temperature=0.8),
    "LFORouting depthwise": lambda: d.LFORouting(WIDTH, 2, depthwise=True, kernel_size=4),
    "ChannelBottleneck": lambda: d.ChannelBottleneck(WIDTH),
    "ChannelBottleneck fixed": lambda: d.ChannelBottleneck(WIDTH, bottleneck_ratio=0.5, residual_mix=0.5),
    "Pointwise": lambda: d.Pointwise(linear(), WIDTH),
    "Chain": lambda: d.Chain(d.FIR(WIDTH, 3), d.Multirate(WIDTH, kernel_size=2), d.LFORouting(WIDTH)),
    "Parallel": lambda: d.Parallel(d.FIR(WIDTH, 5, init="lowpass", delay=2), d.Multirate(WIDTH, 3)),
    "Residual": lambda: d.Residual(d.FIR(WIDTH, 5, init="lowpass", delay=2)),
    "Blend": lambda: d.Blend(d.Multirate(WIDTH, kernel_size=3)),
    "deep": deep,
    "deep filters": deep_filters,
}
"""Causal layers, by name."""

CENTRED: dict[str, Callable[[], d.Layer]] = {
    "FIR centred": lambda: d.FIR(WIDTH, 5, init="lowpass", causal=False),
    "FIR centred even": lambda: d.FIR(WIDTH, 4, causal=False),
    "Multirate centred": lambda: d.Multirate(WIDTH, kernel_size=3, causal=False),
    "Multirate centred 4 taps": lambda: d.Multirate(WIDTH, 4, kernel_size=4, causal=False),
    "Multirate centred levels": lambda: d.Multirate(WIDTH, 3, kernel_size=3, levels=2, causal=False),
    "Multirate centred learned": lambda: d.Multirate(WIDTH, factor(2.4, 1, 3), kernel_size=3, causal=False),
    "LFORouting centred": lambda: d.LFORouting(WIDTH, 2, causal=False),
    "LFORouting centred depthwise": lambda: d.LFORouting(WIDTH, 2, causal=False, depthwise=True),
    "Chain centred": lambda: d.Chain(d.FIR(WIDTH, 3, causal=False), d.FIR(WIDTH, 2)),
    "Parallel centred": lambda: d.Parallel(d.FIR(WIDTH, 3, causal=False), d.FIR(WIDTH, 4)),
    "Residual centred": lambda: d.Residual(d.FIR(WIDTH, 3, causal=False)),
    "Blend centred": lambda: d.Blend(d.FIR(WIDTH, 3, causal=False)),
}
"""Layers that look ahead."""


def multirate(downsample: int, levels: int) -> Callable[[], d.Layer]:
    return lambda: d.Multirate(WIDTH, downsample, levels=levels, kernel_size=3 if levels == 2 else 2)


LONG: dict[str, Callable[[], d.Layer]] = {
    f"Multirate {downsample}, {levels} levels": multirate(downsample, levels)
    for downsample in (1, 2, 3, 4)
    for levels in (1, 2, 3)
}
"""Multirate layers, the longest of period 64, which run on a longer signal."""

FAR: dict[str, Callable[[], d.Layer]] = {
    "far: LFORouting": lambda: d.LFORouting(WIDTH, 2, num_lfos=3, max_freq=0.5),
    "far: LFORouting depthwise": lambda: d.LFORouting(WIDTH, 2, depthwise=True, max_freq=TENTH),
    "far: Chain": lambda: d.Chain(
        d.FIR(WIDTH, 3), d.Multirate(WIDTH, 3), d.LFORouting(WIDTH, max_freq=TENTH)
    ),
}
"""Layers that run by `step` from a position far out."""

LAYERS = CAUSAL | CENTRED | LONG
"""All but those of `FAR`."""

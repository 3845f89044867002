"""A slice of the channels is a smaller layer with slices of the parameters: what tensor parallelism needs.

Its outputs and gradients are those of the whole layer, and what all slices share has the sum of their gradients.
"""

import pytest
import torch
from torch import nn

import dsptorch as d
from tests.tolerances import assert_close

WIDTH, PARTS = 8, 2
HALF = WIDTH // PARTS

# By width; the routes of an LFO are two channels wide, so that every slice holds some of them whole.
DEPTHWISE = {
    "FIR": lambda width: d.FIR(width, 5, init="lowpass"),
    "FIR centred": lambda width: d.FIR(width, 4, causal=False),
    "Delay": lambda width: d.Delay(width, 3),
    "Multirate": lambda width: d.Multirate(width, 3, levels=2, kernel_size=3),
    "Multirate centred": lambda width: d.Multirate(width, kernel_size=3, causal=False),
    "Multirate learned": lambda width: d.Multirate(
        width, d.BoundedHyperparam(2.4, 1, 3, integer=True), kernel_size=3
    ),
    "Multirate by channel": lambda width: d.Multirate(
        width, mix_ratio=d.BoundedHyperparam(torch.linspace(0.3, 0.5, width), 0.2, 0.6)
    ),
    "LFORouting depthwise": lambda width: d.LFORouting(width, width // 2, depthwise=True),
    "LFORouting, whole routes": lambda width: d.LFORouting(width, width // 2),
    "EMA": lambda width: d.EMA(width, d.BoundedHyperparam(torch.linspace(2, 9, width), 1, 16, log=True)),
    "EMA of one half-life": lambda width: d.EMA(width, d.BoundedHyperparam(4.0, 1, 16, log=True), warm=True),
    "Resonator": lambda width: d.Resonator(
        width, d.BoundedHyperparam(torch.linspace(0.1, 0.3, width), 0.05, 0.4, log=True), 8.0
    ),
    "Biquad": lambda width: d.Biquad(width, "bandpass", (0.05, 0.3)),
    "SOS": lambda width: d.SOS(width, 2, max_half_life=16.0),
    "Chain": lambda width: d.Chain(d.FIR(width, 3), d.LFORouting(width, width // 2, depthwise=True)),
    "Parallel": lambda width: d.Parallel(d.Delay(width, 2), d.Residual(d.Multirate(width))),
    "Blend": lambda width: d.Blend(d.Multirate(width)),
    "UndecimatedBank": lambda width: d.UndecimatedBank(width, 2, 3),
    "LFOGate": lambda width: d.LFOGate(d.FIR(width, 3), width // 2),
    "ModulatedDelay": lambda width: d.ModulatedDelay(width, 4, d.LFO(width // 2, phase=0.1)),
    "ModulatedDelay allpass": lambda width: d.ModulatedDelay(
        width, 4, d.LFO(1), depth=0.9, interpolation="allpass"
    ),
    "Tremolo": lambda width: d.Tremolo(width, d.LFO(width, 0.1)),
}

MIXING = {
    "ChannelBottleneck": lambda width: d.ChannelBottleneck(width, bottleneck_ratio=0.5),
    "Pointwise": lambda width: d.Pointwise(nn.Linear(width, width), width),
    "LFORouting, a part of a route": lambda width: d.LFORouting(width, 1),
}


def scattered(build, width):
    """Build a layer whose parameters are away from their tidy first values."""
    layer = build(width).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype))
    return layer


def piece(whole, shape, part):
    """Cut a tensor along every axis that is longer than `shape`, which is `PARTS` times."""
    for axis, (size, length) in enumerate(zip(whole.shape, shape, strict=True)):
        if size != length:
            if size != PARTS * length:
                raise ValueError(f"{PARTS} x {length} do not make {size}")
            whole = whole.narrow(axis, part * length, length)
    return whole


def sliced(build, layer, part):
    """Build the layer of one slice of the channels, with its share of the parameters."""
    small = build(HALF).double()
    with torch.no_grad():
        for own, whole in zip(small.parameters(), layer.parameters(), strict=True):
            own.copy_(piece(whole, own.shape, part))
    return small


def ran(layer, x, target):
    """Return the output, and the gradients of the parameters and of x."""
    x = x.clone().requires_grad_()
    y = layer(x)
    gradients = torch.autograd.grad((y * target).sum(), [*layer.parameters(), x])
    return y, list(gradients)


def check_slices(build):
    layer = scattered(build, WIDTH)
    generator = torch.Generator().manual_seed(0)
    x, target = torch.randn(2, 2, 19, WIDTH, generator=generator, dtype=torch.float64)
    y, gradients = ran(layer, x, target)
    shared = [torch.zeros_like(gradient) for gradient in gradients]
    for part in range(PARTS):
        channels = slice(part * HALF, (part + 1) * HALF)
        small = sliced(build, layer, part)
        small_y, small_gradients = ran(small, x[..., channels], target[..., channels])
        assert_close(small_y, y[..., channels])
        if not layer.lookahead:
            first, state = small.step(x[:, :7, channels])
            assert_close(torch.cat((first, small.step(x[:, 7:, channels], state)[0]), 1), y[..., channels])
        for sum_of_parts, gradient in zip(shared, small_gradients, strict=True):
            piece(sum_of_parts, gradient.shape, part).add_(gradient)
    for sum_of_parts, gradient in zip(shared, gradients, strict=True):
        assert_close(sum_of_parts, gradient)


@pytest.mark.parametrize("name", DEPTHWISE)
def test_a_slice_of_the_layer_is_a_slice_of_its_output(name):
    check_slices(DEPTHWISE[name])


@pytest.mark.parametrize("name", MIXING)
def test_layers_that_mix_channels_are_caught(name):
    with pytest.raises(AssertionError, match="the result differs"):
        check_slices(MIXING[name])


class NormedFIR(d.FIR):
    """A planted bug: channels meet in a statistic."""

    def process(self, x, state, segments=None):
        y, state = super().process(x, state, segments)
        return y / (1 + 1e-3 * y.square().mean(-1, keepdim=True)), state


def test_a_statistic_over_channels_is_caught():
    with pytest.raises(AssertionError, match="the result differs"):
        check_slices(lambda width: NormedFIR(width, 5))

"""Every layer refuses what it cannot use, and says what it expected and what came."""

import math

import pytest
import torch
from torch import nn

import dsptorch
from tests.layers.table import LAYERS, WIDTH, build, signal


@pytest.mark.parametrize(
    ("x", "kind", "message"),
    [
        (torch.zeros(5, WIDTH), ValueError, r"\(batch, time, channels\), got shape \(5, 4\)"),
        (torch.zeros(1, 2, 5, WIDTH), ValueError, r"\(batch, time, channels\), got shape \(1, 2, 5, 4\)"),
        (
            torch.zeros(1, 5, WIDTH + 1),
            ValueError,
            r"4 channels in the last dimension, got shape \(1, 5, 5\)",
        ),
        (torch.zeros(1, WIDTH, 7), ValueError, r"4 channels.*got shape \(1, 4, 7\); channels come last"),
        (torch.zeros(1, 5, WIDTH).long(), TypeError, r"floating-point input, got torch\.int64"),
        ([0.0], TypeError, r"expects a tensor.*got \[0\.0\]"),
    ],
    ids=["rank 2", "rank 4", "width", "transposed", "integers", "list"],
)
def test_refuses_what_is_no_signal(x, kind, message):
    for name in LAYERS:
        layer = build(name)
        with pytest.raises(kind, match=type(layer).__name__ + ".*" + message):
            layer(x)
        with pytest.raises(kind, match=message):
            layer.step(x)


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: dsptorch.FIR(0), ValueError, r"d_model must be at least 1, got 0"),
        (lambda: dsptorch.FIR(4.0), TypeError, r"d_model must be an int, got 4\.0 of type float"),
        (lambda: dsptorch.FIR(4, 0), ValueError, r"kernel_size must be at least 1, got 0"),
        (lambda: dsptorch.FIR(4, delay=-1), ValueError, r"delay must be at least 0, got -1"),
        (lambda: dsptorch.FIR(4, init="highpass"), ValueError, r"identity, lowpass, delays.*got 'highpass'"),
        (lambda: dsptorch.FIR(4, 3, init=torch.ones(4, 3)), ValueError, r"\(3, 4\), got \(4, 3\)"),
        (lambda: dsptorch.FIR(4, 1, init=torch.full((1, 4), math.nan)), ValueError, r"finite.*NaN"),
        (lambda: dsptorch.FIR(4, init="delays", causal=False), ValueError, r"causal bank"),
        (lambda: dsptorch.FIR(4, init="lowpass", cutoff=1.5), ValueError, r"got.*1\.5"),
        (lambda: dsptorch.FIR(4, init="lowpass", cutoff=math.nan), ValueError, r"cutoff.*got nan"),
        (lambda: dsptorch.Delay(4, -1), ValueError, r"delay must be at least 0, got -1"),
        (lambda: dsptorch.Multirate(4, -2), ValueError, r"downsample must be at least 1, got -2"),
        (lambda: dsptorch.Multirate(4, 2.0), TypeError, r"downsample must be an int, got 2\.0"),
        (lambda: dsptorch.Multirate(4, levels=0), ValueError, r"levels must be at least 1, got 0"),
        (lambda: dsptorch.Multirate(4, mix_ratio=1.5), ValueError, r"mix_ratio.*\[0, 1\], got 1\.5"),
        (lambda: dsptorch.Multirate(4, mix_ratio=math.nan), ValueError, r"mix_ratio.*finite.*got nan"),
        (
            lambda: dsptorch.Multirate(4, detail_strength=math.inf),
            ValueError,
            r"detail_strength.*finite.*got inf",
        ),
        (
            lambda: dsptorch.Multirate(4, mix_ratio="0.5"),
            TypeError,
            r"mix_ratio.*BoundedHyperparam.*got '0\.5' of type str",
        ),
        (
            lambda: dsptorch.Multirate(4, mix_ratio=dsptorch.BoundedHyperparam(0.5, 0.0, 2.0)),
            ValueError,
            r"mix_ratio must stay in \[0, 1\], got bounds \[0, 2\]",
        ),
        (
            lambda: dsptorch.LFORouting(6, 4),
            ValueError,
            r"routes must divide d_model, got 4 routes for a width of 6",
        ),
        (lambda: dsptorch.LFORouting(4, 0), ValueError, r"routes must be at least 1, got 0"),
        (lambda: dsptorch.LFORouting(4, num_lfos=0), ValueError, r"num_lfos must be at least 1, got 0"),
        (lambda: dsptorch.LFORouting(4, max_freq=0.6), ValueError, r"max_freq.*\(0, 0\.5\].*got 0\.6"),
        (lambda: dsptorch.LFORouting(4, gate_temperature=0.0), ValueError, r"gate_temperature.*got 0\.0"),
        (lambda: dsptorch.LFORouting(4, residual_mix=-0.1), ValueError, r"residual_mix.*\[0, 1\], got -0\.1"),
        (
            lambda: dsptorch.ChannelBottleneck(4, bottleneck_ratio=2.0),
            ValueError,
            r"bottleneck_ratio.*1\], got 2\.0",
        ),
        (
            lambda: dsptorch.ChannelBottleneck(4, bottleneck_ratio=0.0),
            ValueError,
            r"bottleneck_ratio.*got 0\.0",
        ),
        (dsptorch.Chain, ValueError, r"Chain needs at least one layer"),
        (dsptorch.Parallel, ValueError, r"Parallel needs at least one layer"),
        (
            lambda: dsptorch.Chain(nn.Linear(4, 4)),
            TypeError,
            r"Chain takes dsptorch layers, got Linear.*Pointwise",
        ),
        (
            lambda: dsptorch.Chain([dsptorch.FIR(4)]),
            TypeError,
            r"Chain takes layers one by one, got a list; write Chain\(\*layers\)",
        ),
        (lambda: dsptorch.Parallel(nn.GELU()), TypeError, r"Parallel takes dsptorch layers, got GELU"),
        (lambda: dsptorch.Residual(nn.GELU()), TypeError, r"Residual takes dsptorch layers, got GELU"),
        (lambda: dsptorch.Blend(nn.GELU()), TypeError, r"Blend takes a dsptorch layer, got GELU"),
        (
            lambda: dsptorch.Chain(dsptorch.FIR(4), dsptorch.FIR(5)),
            ValueError,
            "Chain needs layers whose widths meet, got 4 channels out of FIR and d_model=5 of the FIR after it",
        ),
        (
            lambda: dsptorch.Blend(dsptorch.FIR(4, delay=1)),
            ValueError,
            r"without delay, got delay=1.*Residual",
        ),
        (lambda: dsptorch.Pointwise(torch.relu, 4), TypeError, r"nn\.Module, got builtin"),
        (
            lambda: dsptorch.Pointwise(nn.Linear(4, 5), 4)(signal().float()),
            ValueError,
            r"keeps the shape.*\(2, 19, 5\)",
        ),
    ],
)
def test_refuses_to_be_built(make, kind, message):
    with pytest.raises(kind, match=message):
        make()

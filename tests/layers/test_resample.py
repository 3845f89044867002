"""Layers that change the rate, and chains of them: scipy's numbers, the law of lengths, chunks, the grid, packing."""

import random
from fractions import Fraction
from math import ceil

import pytest
import torch
import torch.nn.functional as F
from scipy.signal import upfirdn
from torch import nn

from dsptorch import (
    FIR,
    Chain,
    Decimate,
    Delay,
    LFORouting,
    Multirate,
    Parallel,
    ResamplePoly,
    Residual,
    Split,
    Upsample,
)
from dsptorch.layers import Layer
from dsptorch.testing import assert_causal
from tests.tolerances import assert_close

WIDTH = 2
DOUBLE = {"dtype": torch.float64}


def stage(rng: random.Random) -> tuple[Layer, tuple[torch.Tensor, int, int]]:
    """A layer with random taps, and the taps, up and down for scipy."""
    kind = rng.choice((Decimate, Upsample, ResamplePoly, FIR))
    factor = rng.randint(1, 4)
    if kind is ResamplePoly:
        layer = ResamplePoly(WIDTH, factor, rng.randint(1, 4), window="hann", **DOUBLE)
        return layer, (layer.filter[:, None].expand(-1, WIDTH), layer.rate.numerator, layer.rate.denominator)
    least = factor if kind is Upsample else 1
    taps = torch.randn(rng.randint(least, least + 5), WIDTH, dtype=torch.float64)
    if kind is FIR:
        return FIR(WIDTH, len(taps), init=taps, **DOUBLE), (taps, 1, 1)
    up, down = (factor, 1) if kind is Upsample else (1, factor)
    return kind(WIDTH, factor, init=taps, **DOUBLE), (taps, up, down)


def chain(seed: int) -> tuple[Layer, list[tuple[torch.Tensor, int, int]]]:
    """One layer, or a chain of up to three."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    layers, filters = zip(*(stage(rng) for _ in range(rng.choice((1, 1, 2, 3)))), strict=True)
    return (layers[0] if len(layers) == 1 else Chain(*layers)), list(filters)


def by_scipy(x: torch.Tensor, filters, rate: Fraction) -> torch.Tensor:
    y = x
    for taps, up, down in filters:
        length = ceil(Fraction(y.shape[1] * up, down))
        columns = [
            torch.as_tensor(upfirdn(taps[:, c].numpy(), y[:, :, c].numpy(), up, down, axis=1))
            for c in range(WIDTH)
        ]
        y = F.pad(torch.stack(columns, -1), (0, 0, 0, length))[:, :length] if y.shape[1] else y
    return y[:, : ceil(x.shape[1] * rate)]


def check_one(layer, filters, seed, dropped=0):
    """The whole, and ragged chunks: scipy's numbers, and ceil(t * rate) samples at every prefix."""
    rng = random.Random(seed)
    x = torch.randn(1, rng.randint(0, 24), WIDTH, dtype=torch.float64)
    whole, expected = layer(x), by_scipy(x, filters, layer.rate)
    assert whole.shape == expected.shape
    assert torch.allclose(whole, expected, rtol=0, atol=1e-10)
    outputs, state, time = [], None, 0
    while time < x.shape[1] or state is None:
        chunk = x[:, time : time + rng.randint(0, 5)]
        y, state = layer.step(chunk, state)
        time += chunk.shape[1]
        outputs.append(y[:, dropped:])
        assert sum(part.shape[1] for part in outputs) == ceil(time * layer.rate)
        assert state.position.item() == time
    assert torch.allclose(torch.cat(outputs, 1), whole, rtol=0, atol=1e-10)


def check_shift(layer, period=None):
    """A shift of the input by the period shifts the output by period * rate."""
    period = layer.period if period is None else period
    x = torch.randn(1, 17, WIDTH, dtype=torch.float64)
    later = layer(F.pad(x, (0, 0, period, 0)))[:, ceil(period * layer.rate) :]
    length = min(later.shape[1], ceil(17 * layer.rate))
    assert torch.allclose(later[:, :length], layer(x)[:, :length], rtol=0, atol=1e-10)


@pytest.mark.slow
@torch.no_grad()
def test_a_thousand_resamplers_and_chains():
    for seed in range(1000):
        layer, filters = chain(seed)
        check_one(layer, filters, seed)
        if seed < 200:
            check_shift(layer)


@torch.no_grad()
def test_what_the_thousand_catch():
    taps = torch.randn(4, WIDTH, dtype=torch.float64)
    layer, up, down = Decimate(WIDTH, 3, init=taps, **DOUBLE), 1, 3
    with pytest.raises(AssertionError):
        check_one(layer, [(taps.roll(1, 0), up, down)], 7)  # other taps
    with pytest.raises(AssertionError):
        check_one(layer, [(taps, up, down)], 7, dropped=1)  # a sample lost at each chunk
    with pytest.raises(AssertionError):
        check_shift(layer, 1)

    class Floors(Decimate):
        def process(self, x, memory, timeline):
            y, memory = super().process(x, memory, timeline)
            return y[:, : (timeline.phase + x.shape[1]) // 3 - timeline.phase // 3], memory

    layer.__class__ = Floors
    with pytest.raises(AssertionError):
        check_one(layer, [(taps, up, down)], 7)


# What the layers say of themselves


def test_structure():
    poly = ResamplePoly(WIDTH, 6, 4)
    assert (poly.rate, poly.period, poly.grid, poly.delay, poly.lookahead) == (Fraction(3, 2), 2, 2, 10, 0)
    assert ResamplePoly(WIDTH, 2, 3).delay == 15
    assert Upsample(WIDTH, 4, init="linear").delay == 1
    slow = Chain(Decimate(WIDTH, 4), FIR(WIDTH, 3, delay=1), Upsample(WIDTH, 4, init="linear"))
    assert (slow.rate, slow.delay, slow.period, slow.grid, slow.lookahead) == (1, 8, 4, 4, 0)
    assert Chain(Decimate(WIDTH, 4), LFORouting(WIDTH, 1)).period is None
    assert Chain(Upsample(WIDTH, 2), FIR(WIDTH, 5, causal=False)).lookahead == 1
    assert Chain(Decimate(WIDTH, 2), Multirate(WIDTH, 3)).period == 6


def reach(layer, time=60):
    """The oldest input, before floor(n / rate), on which some output n depends."""
    x = torch.randn(1, time, WIDTH, dtype=torch.float64, requires_grad=True)
    y, oldest = layer.double()(x), 0
    for n in range(y.shape[1]):
        (gradient,) = torch.autograd.grad(y[0, n].sum(), x, retain_graph=True)
        used = gradient[0].abs().sum(-1).nonzero()
        if len(used):
            oldest = max(oldest, int(n / layer.rate) - int(used[0]))
    return oldest + 1


@pytest.mark.parametrize(
    "layer",
    [
        Decimate(WIDTH, 3, 5),
        Upsample(WIDTH, 3, init="linear"),
        Chain(Decimate(WIDTH, 4), FIR(WIDTH, 3, init="lowpass"), Upsample(WIDTH, 4)),
        Chain(Upsample(WIDTH, 3), Decimate(WIDTH, 2, 4)),
        Chain(ResamplePoly(WIDTH, 2, 3, window="boxcar"), Decimate(WIDTH, 2, 3)),
    ],
    ids=repr,
)
def test_no_output_is_older_than_the_receptive_field(layer):
    assert reach(layer) <= layer.receptive_field
    assert reach(layer) >= layer.receptive_field - layer.grid  # and the bound is close


def test_is_causal_at_every_cut():
    slow = Chain(Decimate(WIDTH, 4), FIR(WIDTH, 3, init="lowpass"), Upsample(WIDTH, 4))
    assert_causal(slow, torch.randn(1, 24, WIDTH))

    class Interpolates(nn.Module):  # between frames, the common leak of low-rate branches
        def forward(self, x):
            kept = x[:, ::4].transpose(1, 2)
            return F.interpolate(kept, scale_factor=4, mode="linear").transpose(1, 2)[:, : x.shape[1]]

    with pytest.raises(AssertionError, match="not causal"):
        assert_causal(Interpolates(), torch.randn(1, 24, WIDTH))


def test_constants_pass_unchanged():
    x = torch.ones(1, 400, WIDTH, dtype=torch.float64)
    for layer in (
        *(Decimate(WIDTH, 4, init=init, **DOUBLE) for init in ("lowpass", "mean", "first")),
        *(Upsample(WIDTH, 4, init=init, **DOUBLE) for init in ("hold", "linear", "lowpass")),
    ):
        assert_close(layer(x)[:, 50:], torch.ones_like(layer(x)[:, 50:]))
    assert (ResamplePoly(WIDTH, 3, 2, **DOUBLE)(x)[:, 50:500] - 1).abs().max() < 1e-3  # its ripple


# Rows and segments


def test_rows_that_are_out_of_phase_are_refused():
    layer = Chain(Decimate(WIDTH, 4), Upsample(WIDTH, 4))
    _, state = layer.step(torch.randn(2, 6, WIDTH))
    with pytest.raises(ValueError, match=r"agree in position modulo 4.*\[6, 7\]"):
        layer.step(torch.randn(2, 1, WIDTH), state._replace(position=torch.tensor([6, 7])))
    layer.step(torch.randn(2, 1, WIDTH), state._replace(position=torch.tensor([6, 10])))


def check_packs(layer, ids):
    x = torch.randn(1, ids.shape[1], WIDTH, dtype=torch.float64)
    y = layer(x, ids)
    for segment in range(int(ids.max()) + 1):
        (times,) = (ids[0] == segment).nonzero(as_tuple=True)
        alone = layer(x[:, times])
        first = int(int(times[0]) * layer.rate)
        assert_close(y[:, first : first + alone.shape[1]], alone)
    if layer.rate == 1:
        assert torch.equal(y[ids < 0], x[ids < 0])
    return y


@pytest.mark.parametrize("length", [5, 8])
def test_packed_segments_on_the_grid_are_as_alone(length):
    ids = torch.tensor([[0] * 8 + [1] * length + [-1] * (8 - length) + [2] * 4])
    for layer in (
        Decimate(WIDTH, 4, 6, **DOUBLE),
        Upsample(WIDTH, 3, init="linear", **DOUBLE),
        Chain(Decimate(WIDTH, 4), FIR(WIDTH, 3, init="lowpass"), Upsample(WIDTH, 4, init="linear")).double(),
        Chain(Decimate(WIDTH, 2), Multirate(WIDTH), LFORouting(WIDTH, 1)).double(),
        Chain(Upsample(WIDTH, 2), Decimate(WIDTH, 4, 9)).double(),
    ):
        check_packs(layer, ids)


def test_segments_off_the_grid_are_refused():
    layer = Chain(Decimate(WIDTH, 4), Upsample(WIDTH, 4))
    with pytest.raises(
        ValueError, match=r"multiple of 4 samples.*in row 0 that begins 3 after one; put padding before it"
    ):
        layer(torch.randn(1, 12, WIDTH), torch.tensor([[0] * 7 + [1] * 5]))
    _, state = layer.step(torch.randn(1, 6, WIDTH))
    with pytest.raises(ValueError, match="in row 0 that begins 2 after one"):
        layer.step(torch.randn(1, 6, WIDTH), state._replace(phase=state.phase), torch.tensor([[1] * 6]))


# Combinators


def test_split_treats_groups_apart():
    layer = Split(FIR(1, 5, init="lowpass", delay=2), Delay(2, 0))
    x = torch.randn(2, 9, 3)
    assert (layer.d_model, layer.d_out, layer.delay) == (3, 3, 2)
    assert_close(layer(x)[..., :1], layer.members[0](x[..., :1]))
    assert torch.equal(layer(x)[:, 2:, 1:], x[:, :-2, 1:])


def test_delays_align_at_the_output_or_are_refused():
    layer = Parallel(Decimate(WIDTH, 2, delay=2), Decimate(WIDTH, 2, init="first"))
    assert layer.delay == 2
    x = torch.zeros(1, 8, WIDTH)
    x[:, 0] = 1
    assert layer.members[1](x)[0, :, 0].tolist() == [0.0, 1.0, 0.0, 0.0]
    with pytest.raises(
        ValueError, match="aligns delays by whole output samples, got a delay of 1 input samples"
    ):
        Parallel(Decimate(WIDTH, 2, delay=1), Decimate(WIDTH, 2))
    with pytest.raises(ValueError, match="one rate, got 1/2, 1"):
        Parallel(Decimate(WIDTH, 2), FIR(WIDTH))
    with pytest.raises(ValueError, match="one rate"):
        Residual(Upsample(WIDTH, 2))
    with pytest.raises(ValueError, match="widths meet"):
        Chain(FIR(2), FIR(3))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Decimate(4, 0), "factor must be at least 1"),
        (lambda: Decimate(4, 2.0), "factor must be an int"),
        (lambda: Decimate(4, 2, init="hold"), "'first', got 'hold'"),
        (lambda: Decimate(4, 2, 3, init=torch.ones(4)), r"shape \(kernel_size,\).*got \(4,\)"),
        (lambda: Upsample(4, 3, 2), "kernel_size must be at least 3"),
        (lambda: Upsample(4, 3, init=torch.ones(2)), r"at least 3 taps, got a tensor of shape \(2, 1\)"),
        (lambda: ResamplePoly(4, 1, 0), "down must be at least 1"),
        (lambda: ResamplePoly(4, 99_991, 99_989), "taps"),
    ],
)
def test_refusals(build, message):
    with pytest.raises((ValueError, TypeError), match=message):
        build()


def test_a_factor_of_one_is_the_identity():
    x = torch.randn(2, 7, WIDTH)
    for layer in (
        Decimate(WIDTH, 1),
        Upsample(WIDTH, 1),
        Upsample(WIDTH, 1, init="lowpass"),
        ResamplePoly(WIDTH, 2, 2),
    ):
        assert torch.equal(layer(x), x)

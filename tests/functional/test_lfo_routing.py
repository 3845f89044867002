"""The gate and the grouped convolution against loops of Python numbers."""

import math

import pytest
import torch
from hypothesis import strategies as st

from dsptorch.functional import grouped_conv, lfo_gate, width_mask
from tests.strategies import fails, holds
from tests.tolerances import assert_close


@st.composite
def gates(draw):
    """(position, freq, phase, amplitude, bias, temperature)."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    routes, lfos = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    freq = torch.rand(routes, lfos, dtype=torch.float64, generator=generator) / 2
    phase, amplitude = torch.randn(2, routes, lfos, dtype=torch.float64, generator=generator)
    position = torch.tensor(draw(st.lists(st.integers(-50, 5000), max_size=5)), dtype=torch.int64)
    return (
        position,
        freq,
        phase,
        amplitude,
        torch.randn(routes, generator=generator).double(),
        draw(st.floats(0.1, 4)),
    )


def check_gate(gate, case):
    position, freq, phase, amplitude, bias, temperature = case
    result = gate(*case)
    assert result.shape == (*position.shape, *bias.shape)
    for i, t in enumerate(position.tolist()):
        for r in range(len(bias)):
            logit = bias[r].item() + sum(
                a * math.sin(2 * math.pi * (f * t + p))
                for a, f, p in zip(amplitude[r].tolist(), freq[r].tolist(), phase[r].tolist(), strict=True)
            )
            assert abs(result[i, r].item() - 1 / (1 + math.exp(-logit / temperature))) < 1e-9


def test_gate_is_its_equation():
    holds(lambda case: check_gate(lfo_gate, case), gates())


@pytest.mark.parametrize(
    "broken",
    [
        lambda position, *rest: lfo_gate(position + 1, *rest),
        lambda position, freq, phase, *rest: lfo_gate(position, freq, phase / (2 * math.pi), *rest),
        lambda *args: lfo_gate(*args[:-1], 1 / args[-1]),
        lambda *args: lfo_gate(*args[:4], 0 * args[4], args[5]),
    ],
    ids=["late by one", "phase in radians", "inverse temperature", "no bias"],
)
def test_the_equation_catches(broken):
    fails(lambda case: check_gate(broken, case), gates())


def test_gate_at_large_positions_is_the_gate_at_small_ones():
    freq = torch.tensor([[0.125, 0.3125]])  # 10**9 is a multiple of 16 cycles of both
    args = freq, torch.rand(1, 2), torch.ones(1, 2), torch.zeros(1), 1.0
    t = torch.arange(40)
    assert torch.equal(lfo_gate(t + 16 * 10**9, *args), lfo_gate(t, *args))
    drifted = torch.sigmoid(
        torch.sin(2 * math.pi * (freq * (t.float() + 1e9)[:, None, None] + args[1])).sum(-1)
    )
    assert (drifted - lfo_gate(t, *args)).abs().max() > 1e-3  # what float32 would make of it


def test_gate_has_gradients():
    args = [torch.rand(2, 3, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    rest = [
        torch.rand(2, dtype=torch.float64, requires_grad=True),
        torch.tensor(0.7, dtype=torch.float64, requires_grad=True),
    ]
    assert torch.autograd.gradcheck(lambda *inputs: lfo_gate(torch.arange(5), *inputs), [*args, *rest])


@st.composite
def convolutions(draw):
    """(x, weight)."""
    groups, width, taps = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 4))
    time, batch = draw(st.integers(0, 5)), draw(st.integers(0, 2))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    x = torch.randint(-4, 5, (batch, time + taps - 1, groups * width), generator=generator).double()
    return x, torch.randint(-4, 5, (groups, taps, width, width), generator=generator).double()


def check_convolution(conv, x, weight):
    groups, taps, width, _ = weight.shape
    y = conv(x, weight)
    assert y.shape == (x.shape[0], x.shape[1] - taps + 1, x.shape[2])
    for t in range(y.shape[1]):
        for g in range(groups):
            route = slice(g * width, (g + 1) * width)
            expected = sum(x[:, t + taps - 1 - k, route] @ weight[g, k] for k in range(taps))
            assert torch.equal(y[:, t, route], expected)


def test_grouped_convolution_is_its_equation():
    holds(lambda case: check_convolution(grouped_conv, *case), convolutions())
    fails(lambda case: check_convolution(lambda x, w: grouped_conv(x, w.flip(1)), *case), convolutions())
    fails(lambda case: check_convolution(lambda x, w: grouped_conv(x, w.mT), *case), convolutions())


def test_width_mask_sums_to_the_width():
    def check(mask, width):
        assert_close(
            mask(width, 24, torch.empty(0, dtype=torch.float64)).sum(),
            torch.tensor(width),
            dtype=torch.float32,
        )

    holds(lambda width: check(width_mask, width), st.integers(4, 20).map(float))
    fails(
        lambda width: check(lambda w, *rest: width_mask(w + 0.5, *rest), width), st.integers(4, 20).map(float)
    )

"""LFO against closed forms in float64 and in whole fractions, at the start and far out."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from dsptorch import LFO, BoundedHyperparam, Layer, param_groups
from dsptorch.testing import assert_streaming_equals_batch
from tests.layers.table import WIDTH, signal
from tests.tolerances import assert_close, assert_same

RADIUS = 0.9
CLOSED = {
    "sine": np.sin,
    "triangle": lambda a: 4 * np.abs((a / (2 * np.pi) - 0.25) % 1 - 0.5) - 1,
    "square": lambda a: np.arctan2(2 * RADIUS * np.sin(a), 1 - RADIUS**2) / (2 * np.arctan(RADIUS)),
    "saw": lambda a: np.arctan2(RADIUS * np.sin(a), 1 + RADIUS * np.cos(a)) / np.arcsin(RADIUS),
}
"""The waves of an angle in radians."""
waveforms = pytest.mark.parametrize("waveform", CLOSED)
T = torch.arange(300)
FAR = torch.arange(10**9, 10**9 + 300)


def exact(lfo, position):
    """Whole fractions up to the wrapped phase, then numpy in float64."""
    freq, phase = (v.detach().double().flatten().tolist() for v in (lfo.freq.value, lfo.phase))
    turns = [
        [float((Fraction(f) * t + Fraction(p)) % 1) for f, p in zip(freq, phase, strict=True)]
        for t in position.tolist()
    ]
    return torch.from_numpy(CLOSED[lfo.waveform](2 * np.pi * np.array(turns)))


def check_exact(lfo, position):
    assert_close(lfo(position), exact(lfo, position))


@waveforms
@pytest.mark.parametrize("position", [T, FAR, -FAR], ids=["near", "far", "before"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("graded", [True, False])
def test_is_its_closed_form(waveform, position, dtype, graded):
    lfo = LFO(3, (0.001, 0.4), phase="random", waveform=waveform).to(dtype)
    with torch.set_grad_enabled(graded):
        values = lfo(position)
    assert values.dtype == dtype
    # A float32 phase is off by 3e-8 cycles at the most, and at its steepest a square rises by 28 a cycle.
    assert (values.double() - exact(lfo, position)).abs().max() < {torch.float32: 3e-6, torch.float64: 1e-13}[
        dtype
    ]


class InFloats(LFO):
    def waves(self, position):
        return torch.sin(2 * math.pi * (self._freq() * position.unsqueeze(-1) + self.phase))


def test_a_phase_in_floats_is_caught():
    lfo = InFloats(3, (0.001, 0.4))
    check_exact(lfo.double(), T)
    lfo = InFloats(3, (0.001, 0.4))
    with pytest.raises(AssertionError):
        check_exact(lfo, FAR)


@waveforms
def test_derivatives_in_frequency_and_phase(waveform):
    lfo = LFO(2, (0.01, 0.2), phase=0.13, waveform=waveform).double()
    position = torch.tensor([0, 1, 7, 30])

    def waves(raw, phase):
        return torch.func.functional_call(lfo, {"freq.raw": raw, "phase": phase}, (position,))

    at = lfo.freq.raw.detach().clone().requires_grad_(), lfo.phase.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(waves, at, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(waves, at)


def test_the_derivative_in_frequency_grows_with_the_position():
    lfo = LFO(1, BoundedHyperparam(0.1, 0, 0.5), phase=0.0).double()
    (wave,) = lfo(torch.tensor([1000]))
    of_phase, of_freq = torch.autograd.grad(wave.sum(), (lfo.phase, lfo.freq.raw))
    slope = lfo.freq.value * (1 - lfo.freq.value / 0.5)  # of 0.5 sigmoid(raw)
    assert_close(of_freq, 1000 * slope * of_phase)


def test_no_raw_frequency_leaves_its_interval():
    lfo = LFO(2, BoundedHyperparam(torch.tensor([0.1, 0.2]), 0.0, 0.5))
    for raw in (-1e6, 1e6):
        lfo.freq.raw.data.fill_(raw)
        assert ((lfo.freq() >= 0) & (lfo.freq() <= 0.5)).all()
        assert lfo(FAR).isfinite().all()


def test_what_is_kept_follows_its_parameters():
    """Without gradients the integers of the oscillators are kept, until a parameter changes."""
    lfo = LFO(2, phase=0.2)
    with torch.no_grad():
        for change in (lambda: None, lambda: lfo.phase.data.add_(0.1), lambda: lfo.freq.raw.data.add_(1.0)):
            change()
            check_exact(lfo, T)
            lfo(T).add_(1)  # nobody else's memory
            check_exact(lfo, T)


def test_first_values():
    assert LFO(4).phase.tolist() == [0.0, 0.25, 0.5, 0.75]
    assert LFO(2, phase=0.25).phase.tolist() == [0.25, 0.25]
    torch.manual_seed(0)
    first, other = LFO(8, phase="random").phase, LFO(8, phase="random").phase
    assert ((first >= 0) & (first < 1)).all()
    assert not torch.equal(first, other)
    assert_close(LFO(2, (0.01, 0.16)).freq.value, torch.tensor([0.02, 0.08]))
    assert LFO(2, 0.25).freq == 0.25


@pytest.mark.parametrize("phase", ["spread", 1 / 3])
def test_first_phases_are_as_exact_as_float32_under_any_default(phase):
    """As from_pretrained builds a model, with dtype=torch.bfloat16."""
    torch.set_default_dtype(torch.bfloat16)
    try:
        built = LFO(3, phase=phase)
    finally:
        torch.set_default_dtype(torch.float32)
    assert_same(built.phase, LFO(3, phase=phase).phase)


def test_stays_in_float32_and_is_not_decayed():
    lfo = LFO(2).bfloat16()
    assert {p.dtype for p in lfo.parameters()} == {torch.float32}
    decayed = [g for g in param_groups(lfo, weight_decay=0.1) if g["weight_decay"]]
    assert not any(g["params"] for g in decayed)


def test_any_arrangement_of_positions():
    lfo = LFO(3)
    assert lfo(torch.zeros(2, 5, dtype=torch.int64)).shape == (2, 5, 3)
    assert lfo(torch.tensor(7)).shape == (3,)
    assert lfo(torch.zeros(2, 0, dtype=torch.int64)).shape == (2, 0, 3)
    per_row = torch.func.vmap(lfo)(T.reshape(10, 30))
    assert_same(per_row.flatten(0, 1), lfo(T))


class Ring(Layer):
    """A layer of one's own: each channel multiplied by an oscillator."""

    lookahead, period, receptive_field = 0, None, 1

    def __init__(self):
        super().__init__(WIDTH)
        self.lfo = LFO(WIDTH)

    def process(self, x, memory, timeline):
        return x * self.lfo(timeline.positions(x)), ()


def test_a_layer_of_ones_own_streams_and_packs():
    layer, x = Ring().double(), signal(1, 20)
    assert_streaming_equals_batch(layer, signal(2, 20))
    alone = torch.cat([layer(x[:, :8]), layer(x[:, 8:])], 1)
    assert_same(layer(x, torch.tensor([[0] * 8 + [1] * 12])), alone)


@pytest.mark.slow
def test_compiles_to_one_graph():
    torch.compiler.reset()
    lfo = LFO(2, waveform="saw")
    compiled = torch.compile(lfo, fullgraph=True, backend="aot_eager")
    assert_close(compiled(FAR), lfo(FAR))


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: LFO(0), ValueError, "num must be at least 1, got 0"),
        (lambda: LFO(2.0), TypeError, r"num must be an int, got 2\.0"),
        (lambda: LFO(1, 0.6), ValueError, r"freq must be a finite number in \[0, 0.5\], got 0.6"),
        (lambda: LFO(1, (0.0, 0.1)), ValueError, r"freq must be a finite number in \[1e-06, 0.5\], got 0.0"),
        (lambda: LFO(1, BoundedHyperparam(0.1, 0, 1)), ValueError, r"freq must stay in \[0, 0.5\]"),
        (
            lambda: LFO(2, BoundedHyperparam(torch.ones(3) / 9, 0, 0.5)),
            ValueError,
            "freq must hold 1 value, or 2",
        ),
        (
            lambda: LFO(1, phase="late"),
            ValueError,
            "phase must be 'random', 'spread' or a number of cycles, got 'late'",
        ),
        (lambda: LFO(1, phase=math.nan), ValueError, "phase must be finite, got nan"),
        (
            lambda: LFO(1, waveform="sin"),
            ValueError,
            "waveform must be one of sine, triangle, square, saw, got 'sin'",
        ),
        (lambda: LFO(1, sharpness=1.0), ValueError, r"sharpness must be in \[0.01, 0.999\], got 1.0"),
        (
            lambda: LFO(1)(torch.zeros(3)),
            TypeError,
            "position must be a tensor of int64.*got a torch.float32",
        ),
        (lambda: LFO(1)(3), TypeError, "position must be a tensor of int64"),
    ],
)
def test_refuses(make, error, says):
    with pytest.raises(error, match=says):
        make()

"""The oscillator against integer arithmetic at any position, and its derivatives in every mode."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd.gradcheck import GradcheckError

from dsptorch.functional.oscillator import lfo_phase, saw, sine, square, triangle

# Forward-mode differentiation and Inductor import parts of torch that torch itself scripts.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")

POSITION = st.one_of(st.integers(0, 5000), st.integers(-(2**40), 2**40), st.integers(10**9 - 9, 10**9 + 9))
NUMPY = {torch.float32: np.float32, torch.float64: np.float64}


def _exact_phase(freq, position, phase=0.0):
    """freq * position + phase wrapped into [-1/2, 1/2), as a fraction."""
    cycles = Fraction(freq) * position + Fraction(phase)
    return (cycles + Fraction(1, 2)) % 1 - Fraction(1, 2)


def _distance(a, b):
    """On the circle, in cycles."""
    return float(abs((Fraction(a) - b + Fraction(1, 2)) % 1 - Fraction(1, 2)))


def _floats(dtype, limit):
    return st.floats(-limit, limit, width=32 if dtype == torch.float32 else 64)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@settings(max_examples=3 * settings().max_examples)
@given(st.data(), POSITION)
def test_phase_is_exact(dtype, data, position):
    freq = data.draw(st.one_of(_floats(dtype, 0.5), _floats(dtype, 1000.0)))
    offset = data.draw(_floats(dtype, 2.0))
    result = lfo_phase(
        torch.tensor(freq, dtype=dtype), torch.tensor(position), torch.tensor(offset, dtype=dtype)
    )
    assert result.dtype == dtype
    assert -0.5 <= result.item() < 0.5
    increments = (abs(position) + 1) * 2.0**-64  # the bits of freq and phase below the increment
    tolerance = torch.finfo(dtype).eps / 4 + increments
    assert _distance(result.item(), _exact_phase(freq, position, offset)) <= tolerance


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@settings(max_examples=3 * settings().max_examples)
@given(st.data(), POSITION)
def test_phase_is_the_nearest_float_to_integer_arithmetic(dtype, data, position):
    freq = data.draw(_floats(dtype, 0.5))
    increment = int(Fraction(freq) * 2**64)  # int() drops the bits below 2^-64
    word = (increment * position + 2**63) % 2**64 - 2**63
    word = min(word, 2**63 - (2**39 if dtype == torch.float32 else 2**10))
    expected = float(NUMPY[dtype](word)) * 2.0**-64
    assert lfo_phase(torch.tensor(freq, dtype=dtype), torch.tensor(position)).item() == expected


@pytest.mark.parametrize(("dtype", "bits"), [(torch.float32, 40), (torch.float64, 59)])
def test_half_a_cycle_is_never_reached_by_rounding(dtype, bits):
    freq, position = torch.tensor(2.0 ** -(bits + 1), dtype=dtype), 2**bits - 1
    exact = _exact_phase(freq.item(), position)
    assert (
        float(torch.tensor(position, dtype=torch.float64).to(dtype) * freq) == 0.5
    )  # what it would round to
    assert lfo_phase(freq, torch.tensor(position)).item() < 0.5
    assert _distance(lfo_phase(freq, torch.tensor(position)).item(), exact) < torch.finfo(dtype).eps


@pytest.mark.parametrize("position", [10**9, 10**9 + 1, 2**40 - 1])
@pytest.mark.parametrize("freq", [0.3, 1e-4, 0.123456789, -0.05, 0.5, 1.7])
def test_sine_at_far_positions(freq, position):
    single = torch.tensor(freq)
    value = sine(lfo_phase(single, torch.tensor(position))).item()
    assert value == pytest.approx(math.sin(2 * math.pi * _exact_phase(single.item(), position)), abs=2.5e-7)


def test_the_check_catches_float_phases():
    freq, position = torch.tensor(0.0123), torch.tensor([10**7 - 3, 10**7 + 1])
    exact = [math.sin(2 * math.pi * _exact_phase(freq.item(), int(t))) for t in position]
    plain = torch.sin(2 * math.pi * freq * position)
    wrapped = torch.sin(2 * math.pi * torch.frac(freq * position))
    for planted in (plain, wrapped):
        assert (planted.double() - torch.tensor(exact, dtype=torch.float64)).abs().max() > 0.01
    steps = torch.arange(2048)
    assert len(steps.to(torch.bfloat16).unique()) == 641  # a bfloat16 position
    assert len(lfo_phase(torch.tensor(2.0**-12, dtype=torch.bfloat16), steps).unique()) == 2048


def test_a_truncated_increment_is_caught():
    freq, position = torch.tensor(1e-4), 10**9 + 1
    planted = int(freq.item() * 2**32) * position % 2**32 / 2**32  # a 32-bit phase accumulator
    assert _distance(planted, _exact_phase(freq.item(), position)) > 0.01


def test_shapes_and_dtypes():
    freq, position = torch.rand(5, 1, 4), torch.arange(6).view(3, 2, 1)[:, :1]
    assert lfo_phase(freq, position.view(1, 3, 1), torch.rand(4)).shape == (5, 3, 4)
    for low in (torch.float16, torch.bfloat16):
        assert lfo_phase(freq.to(low), position.view(1, 3, 1)).dtype == torch.float32
    assert lfo_phase(freq, position.view(1, 3, 1), torch.zeros(4, dtype=torch.float64)).dtype == torch.float64
    assert lfo_phase(torch.rand(0, 4), torch.zeros(0, 1, dtype=torch.int64)).shape == (0, 4)


def test_refuses_wrong_dtypes():
    with pytest.raises(TypeError, match=r"got torch\.float32"):
        lfo_phase(torch.rand(2), torch.zeros(2))
    with pytest.raises(TypeError, match=r"got torch\.int64"):
        lfo_phase(torch.tensor(1), torch.tensor(1))


def test_not_finite_stays_visible():
    phase = lfo_phase(torch.tensor([math.nan, math.inf]), torch.tensor(3))
    assert phase.isnan().all()


def _wave(freq, phase):
    return sine(lfo_phase(freq, torch.tensor([[0], [1], [7], [33]]), phase))


@pytest.fixture
def knobs():
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.rand(3, generator=generator, dtype=torch.float64) for _ in range(2))


def test_gradients_in_every_mode(knobs):
    inputs = tuple(k.clone().requires_grad_() for k in knobs)
    assert torch.autograd.gradcheck(_wave, inputs, check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(_wave, inputs)


def test_derivative_of_the_phase_is_position_and_one(knobs):
    position = torch.tensor([0, 5, 10**9])
    by_freq, by_phase = torch.func.grad(lambda f, p: lfo_phase(f, position, p).sum(), (0, 1))(*knobs)
    assert by_freq.tolist() == position.tolist()
    assert by_phase.tolist() == [1, 1, 1]
    _, tangent = torch.func.jvp(lambda f: lfo_phase(f, position), knobs[:1], (torch.ones(3).double(),))
    assert tangent.tolist() == position.tolist()


def test_the_gradient_test_catches_a_phase_without_gradient(knobs):
    def planted(freq, phase):
        return sine(lfo_phase(freq.detach(), torch.tensor(7), phase))

    inputs = tuple(k.clone().requires_grad_() for k in knobs)
    with pytest.raises(GradcheckError):
        torch.autograd.gradcheck(planted, inputs)


def test_vmap_over_knobs_and_positions(knobs):
    position = torch.tensor([1, 2, 10**9])
    mapped = torch.func.vmap(lfo_phase)(knobs[0], position, knobs[1])
    torch.testing.assert_close(mapped, lfo_phase(knobs[0], position, knobs[1]), rtol=0, atol=0)
    per_sample = torch.func.vmap(torch.func.grad(lfo_phase), in_dims=(0, 0, 0))(knobs[0], position, knobs[1])
    assert per_sample.tolist() == position.tolist()


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_compiles_to_one_graph(backend):
    def wave(freq, position, phase):
        angle = lfo_phase(freq, position, phase)
        return angle, sine(angle) + triangle(angle) + saw(angle) + square(angle)

    torch._dynamo.reset()
    compiled = torch.compile(wave, fullgraph=True, backend=backend)
    freq = torch.tensor([0.3, -0.05, 1e-4], requires_grad=True)
    position = torch.tensor([[7], [10**9], [2**40]])
    for result, expected in zip(
        compiled(freq, position, 0.25), wave(freq, position, torch.tensor(0.25)), strict=True
    ):
        torch.testing.assert_close(result, expected, rtol=0, atol=1e-6)
        (gradient,) = torch.autograd.grad(result.sum(), freq, retain_graph=True)
        (reference,) = torch.autograd.grad(expected.sum(), freq, retain_graph=True)
        torch.testing.assert_close(gradient, reference)


def test_sine_is_accurate():
    phase = torch.linspace(-3, 3, 300_001)
    exact = torch.sin(2 * math.pi * phase.double())
    assert (sine(phase).double() - exact).abs().max() < 1.2e-7
    assert sine(phase).abs().max() <= 1
    unfolded = torch.sin(2 * math.pi * phase)
    assert (unfolded.double() - exact).abs().max() > 1.2e-7


def test_waveforms_are_aligned_with_the_sine():
    phase = torch.linspace(-2, 2, 4001, dtype=torch.float64)[:-1] + 1e-4
    s = torch.sin(2 * math.pi * phase)
    torch.testing.assert_close(triangle(phase), 2 / math.pi * torch.asin(s))
    torch.testing.assert_close(square(phase), torch.sign(s))
    torch.testing.assert_close(saw(phase), 2 * (torch.remainder(phase + 0.5, 1) - 0.5))
    for wave in (sine, triangle, saw):
        assert wave(torch.tensor(0.0)) == 0
        assert wave(torch.tensor(1e-3)) > 0


@pytest.mark.parametrize(
    ("wave", "slope"),
    [
        (sine, lambda p: 2 * math.pi * math.cos(2 * math.pi * p)),
        (triangle, lambda p: 4 if abs(p) <= 0.25 else -4),
        (saw, lambda p: 2),
        (square, lambda p: 0),
    ],
)
def test_waveform_gradients_are_as_stated(wave, slope):
    points = [-0.4, -0.25, -0.1, 0.0, 0.2, 0.25, 0.45]
    phase = torch.tensor(points, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(wave(phase).sum(), phase)
    assert gradient.tolist() == pytest.approx([slope(p) for p in points], abs=1e-14)


def test_sine_has_its_curvature_at_the_fold():
    phase = torch.tensor([0.25, -0.25, 0.1], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(sine, phase)

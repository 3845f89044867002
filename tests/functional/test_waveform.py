"""Square and saw with rounded corners: between the sine and the ideal, in [-1, 1], and never flat."""

import pytest
import torch

from dsptorch.functional import saw, sine, soft_saw, soft_square, square
from dsptorch.functional.waveform import WAVEFORMS
from tests.tolerances import assert_close

PHASE = torch.linspace(-1.5, 1.5, 30_001, dtype=torch.float64)[:-1] + 1e-5
PAIRS = [(soft_square, square, 0.25), (soft_saw, saw, 0.5)]
"""Each rounded wave, the ideal one, and where in a cycle the ideal one jumps, to half a cycle."""

pairs = pytest.mark.parametrize(("soft", "ideal", "jump"), PAIRS)


@pairs
def test_lies_between_the_sine_and_the_ideal(soft, ideal, jump):
    assert (soft(PHASE, 0.01) - sine(PHASE)).abs().max() < 0.02
    away = ((PHASE + jump + 0.25) % 0.5 - 0.25).abs() > 0.05 if ideal is saw else sine(PHASE).abs() > 0.3
    assert (soft(PHASE, 0.999) - ideal(PHASE))[away].abs().max() < 0.04


def check_range(wave, sharpness, dtype):
    values = wave(PHASE.to(dtype), sharpness)
    assert values.abs().max() <= 1 + 2 * torch.finfo(dtype).eps
    assert values.max() > 0.99
    assert values.min() < -0.99


@pairs
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_stays_in_its_range_and_reaches_its_ends(soft, ideal, jump, dtype):
    for sharpness in (0.01, 0.5, 0.9, 0.999):
        check_range(soft, sharpness, dtype)
    with pytest.raises(AssertionError):
        check_range(lambda phase, r: 1.01 * soft(phase, r), 0.9, dtype)


@pairs
def test_learns_everywhere(soft, ideal, jump):
    """The slope is nowhere 0 but at the two peaks."""
    phase = torch.linspace(-0.5, 0.5, 1001, dtype=torch.float64)[:-1].requires_grad_()
    (slope,) = torch.autograd.grad(soft(phase).sum(), phase)
    assert (slope.abs() > 1e-6).sum() >= 998
    (flat,) = torch.autograd.grad(square(phase).sum(), phase)
    assert not flat.any()


def test_every_waveform_is_aligned_with_the_sine():
    middle = torch.tensor([0.0, 0.1, -0.1], dtype=torch.float64)
    for name, wave in WAVEFORMS.items():
        zero, after, before = wave(middle, 0.9)
        assert zero == 0, name
        assert after == -before > 0, name
        assert_close(wave(PHASE[:100] + 1, 0.9), wave(PHASE[:100], 0.9))


@pytest.mark.parametrize("sharpness", [0.0, 1.0, float("nan")])
def test_refuses_a_sharpness_without_a_wave(sharpness):
    for wave in (soft_square, soft_saw):
        with pytest.raises(ValueError, match="sharpness must be"):
            wave(PHASE, sharpness)

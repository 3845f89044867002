"""The taps of resamplers against scipy, their gain and their delay."""

from fractions import Fraction

import numpy as np
import pytest
import scipy.signal
import torch

from dsptorch.functional.design import firwin
from dsptorch.functional.resample import resample
from dsptorch.functional.resample_design import (
    decimate_taps,
    linear_phase_delay,
    resample_taps,
    upsample_taps,
)
from tests.tolerances import assert_close

RAMP = torch.arange(60, dtype=torch.float64).reshape(1, 60, 1)


@pytest.mark.parametrize(("up", "down"), [(3, 2), (1, 5), (4, 1), (6, 4), (5, 5)])
def test_resamples_as_scipy_but_for_the_delay(up, down):
    taps = resample_taps(up, down, dtype=torch.float64)
    x = torch.randn(1, 100, 1, dtype=torch.float64)
    rate = Fraction(up, down)
    late = int(linear_phase_delay(len(taps), rate.numerator) * rate)
    followed = torch.nn.functional.pad(x, (0, 0, 0, 50))
    ours = resample(followed, taps, rate.numerator, rate.denominator)
    ours = ours[0, late:, 0]
    expected = scipy.signal.resample_poly(x[0, :, 0].numpy(), up, down)
    assert np.allclose(ours[: len(expected)].numpy(), expected, atol=1e-12)
    if late:
        with pytest.raises(AssertionError):  # a delay of one less is caught
            assert_close(ours[1 : 1 + len(expected)], torch.from_numpy(expected))


def test_resample_taps_refuse_a_filter_of_a_million_taps():
    with pytest.raises(ValueError, match=r"60000/59999 .* 1260000 in all, more than 1048576"):
        resample_taps(60000, 59999)


@pytest.mark.parametrize("kind", ["hold", "linear", "lowpass"])
@pytest.mark.parametrize("factor", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("extra", [0, 1, 5])
def test_every_phase_of_an_upsampler_sums_to_one(kind, factor, extra):
    taps = upsample_taps(kind, factor, 2 * factor + extra, dtype=torch.float64)
    assert len(taps) == 2 * factor + extra
    if kind == "lowpass":
        assert_close(phase_sums(taps, factor), torch.ones(factor, dtype=torch.float64))
    else:
        assert (phase_sums(taps, factor) == 1).all()


def phase_sums(taps, factor):
    return torch.stack([taps[phase::factor].sum() for phase in range(factor)])


def test_a_low_pass_whose_phases_are_not_scaled_is_caught():
    taps = 4 * firwin(16, 1 / 4, dtype=torch.float64)
    with pytest.raises(AssertionError):
        assert_close(phase_sums(taps, 4), torch.ones(4, dtype=torch.float64))


def test_linear_interpolates_between_the_last_two_inputs():
    y = resample(RAMP, upsample_taps("linear", 4, dtype=torch.float64), 4, 1).flatten()
    assert torch.equal(y[4:], torch.arange(4, 240, dtype=torch.float64) / 4 - 1)  # delay 1
    held = resample(RAMP, upsample_taps("hold", 4, dtype=torch.float64), 4, 1)
    assert torch.equal(held, RAMP.repeat_interleave(4, 1))


@pytest.mark.parametrize("kind", ["lowpass", "mean", "first"])
@pytest.mark.parametrize("factor", [1, 2, 3, 8])
def test_a_decimator_has_unit_gain_and_its_delay(kind, factor):
    taps = decimate_taps(kind, factor, dtype=torch.float64)
    assert float(taps.sum()) == pytest.approx(1)
    odd = decimate_taps(kind, factor, 2 * factor + 1, dtype=torch.float64)
    assert len(odd) == 2 * factor + 1
    for filter_ in (taps, odd):
        if kind == "lowpass" and factor == 1 and len(filter_) % 2 == 0:
            continue  # all frequencies pass: there is no half sample
        delay = 0 if kind == "first" else float(linear_phase_delay(len(filter_)))
        y = resample(RAMP, filter_, 1, factor).flatten()
        late = -(-len(filter_) // factor)
        expected = torch.arange(len(y), dtype=torch.float64) * factor - delay
        assert_close(y[late:], expected[late:])


def test_lengths_by_default():
    assert [len(decimate_taps(kind, 4)) for kind in ("lowpass", "mean", "first")] == [16, 4, 1]
    assert [len(upsample_taps(kind, 4)) for kind in ("hold", "linear", "lowpass")] == [4, 8, 16]
    assert linear_phase_delay(61, 3) == 10
    assert linear_phase_delay(16) == Fraction(15, 2)


def test_dtype_and_device():
    assert resample_taps(3, 2).dtype == torch.get_default_dtype()
    assert decimate_taps("mean", 2, dtype=torch.float64, device="cpu").dtype == torch.float64


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: resample_taps(0, 1), "up must be an integer of at least 1, got 0"),
        (lambda: upsample_taps("cubic", 2), "kind must be one of 'hold', 'linear', 'lowpass', got 'cubic'"),
        (lambda: upsample_taps("linear", 4, 7), "kernel_size must be at least 8 here, got 7"),
        (lambda: decimate_taps("hold", 2), "kind must be one of 'lowpass', 'mean', 'first'"),
        (lambda: decimate_taps("mean", 2, 0), "kernel_size must be at least 1 here, got 0"),
        (lambda: linear_phase_delay(0), "numtaps must be an integer of at least 1, got 0"),
    ],
)
def test_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()

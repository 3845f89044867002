"""FIR design against scipy, and the properties that define each design."""

import numpy as np
import pytest
import scipy.signal
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dsptorch.functional.design import firwin, halfband, minimum_phase, unit_dc
from dsptorch.functional.windows import get_window, kaiser_beta

WINDOWS = ["boxcar", "hann", "hamming", "blackman", ("kaiser", 0.0), ("kaiser", 8.6), ("kaiser", 200.0)]
F64 = torch.float64


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("numtaps", [1, 2, 7, 64])
def test_window_is_scipys(window, numtaps):
    expected = scipy.signal.get_window(window, numtaps, fftbins=False)
    np.testing.assert_allclose(get_window(window, numtaps).numpy(), expected, rtol=1e-11, atol=1e-13)


@settings(max_examples=2 * settings().max_examples)
@given(
    numtaps=st.integers(1, 80),
    edges=st.lists(st.floats(0.01, 0.99), min_size=1, max_size=4, unique=True).map(sorted),
    options=st.fixed_dictionaries(
        {
            "window": st.sampled_from(WINDOWS[:-1]),
            "pass_zero": st.sampled_from([True, False, "lowpass", "highpass", "bandpass", "bandstop"]),
            "scale": st.booleans(),
            "fs": st.sampled_from([None, 1.0, 48000.0]),
        }
    ),
)
def test_firwin_is_scipys_or_refuses_with_it(numtaps, edges, options):
    cutoff = [c * (options["fs"] or 2.0) / 2 for c in edges]
    try:
        expected = scipy.signal.firwin(numtaps, cutoff, **options)
    except ValueError:
        with pytest.raises(ValueError, match=r"got|take"):
            firwin(numtaps, cutoff, **options)
    else:
        assume(np.abs(expected).max() < 10)  # scaled by a tiny gain, both are rounding errors made large
        result = firwin(numtaps, cutoff, **options, dtype=F64)
        np.testing.assert_allclose(result.numpy(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("width", [0.02, 0.1, 0.5])
def test_firwin_width_chooses_scipys_kaiser_window(width):
    expected = scipy.signal.firwin(33, 0.4, width=width)
    np.testing.assert_allclose(firwin(33, 0.4, width=width, dtype=F64).numpy(), expected, atol=1e-12)
    assert kaiser_beta(33, width) == pytest.approx(
        scipy.signal.kaiser_beta(scipy.signal.kaiser_atten(33, width))
    )


def test_comparison_with_scipy_catches_a_periodic_window():
    m = torch.arange(15, dtype=F64) - 7
    planted = unit_dc(0.4 * torch.sinc(0.4 * m) * torch.hann_window(15, periodic=True, dtype=F64))
    assert np.abs(planted.numpy() - scipy.signal.firwin(15, 0.4, window="hann")).max() > 1e-3


def test_firwin_dtype():
    assert firwin(5, 0.5).dtype == torch.get_default_dtype()
    assert firwin(5, 0.5, dtype=torch.bfloat16).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"numtaps": 0, "cutoff": 0.5}, "numtaps >= 1, got 0"),
        ({"numtaps": 5, "cutoff": []}, r"got \[\]"),
        ({"numtaps": 5, "cutoff": 1.0}, r"between 0 and Nyquist \(1\), got \[1.0\]"),
        ({"numtaps": 5, "cutoff": float("nan")}, "got .nan"),
        ({"numtaps": 5, "cutoff": [0.5, 0.2]}, "increase strictly"),
        ({"numtaps": 5, "cutoff": 4.0, "fs": 8.0}, r"Nyquist \(4\), got \[4.0\]"),
        ({"numtaps": 5, "cutoff": 0.5, "fs": -2.0}, "fs must be .* got -2.0"),
        ({"numtaps": 6, "cutoff": 0.5, "pass_zero": False}, "take 7"),
        ({"numtaps": 5, "cutoff": 0.5, "pass_zero": "bandpass"}, "at least two cutoffs, got 1"),
        ({"numtaps": 5, "cutoff": [0.1, 0.2], "pass_zero": "lowpass"}, "one cutoff, got 2"),
        ({"numtaps": 5, "cutoff": 0.5, "pass_zero": "low"}, "got 'low'"),
        ({"numtaps": 5, "cutoff": 0.5, "window": "hanning"}, "got 'hanning'"),
        ({"numtaps": 5, "cutoff": 0.5, "window": ("kaiser", -1.0)}, "beta >= 0, got -1.0"),
        ({"numtaps": 5, "cutoff": 0.5, "width": -0.1}, "got -0.1"),
    ],
)
def test_firwin_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        firwin(**arguments)


def test_unit_dc_scales_each_filter():
    taps = torch.rand(3, 4, 5, dtype=F64) + 0.1
    torch.testing.assert_close(unit_dc(taps, dim=1).sum(1), torch.ones(3, 5, dtype=F64))
    assert unit_dc(torch.ones(3, dtype=torch.float16)).dtype == torch.float16
    assert torch.autograd.gradcheck(unit_dc, taps[0].requires_grad_())


@pytest.mark.parametrize("taps", [[1.0, -1.0], [0.1, 0.2, -0.3], [0.0, 0.0], [1.0, float("inf")]])
def test_unit_dc_refuses_a_sum_of_zero_to_rounding(taps):
    with pytest.raises(ValueError, match="not zero"):
        unit_dc(torch.tensor(taps, dtype=F64))


@pytest.mark.parametrize("window", ["boxcar", "hamming", "blackman", ("kaiser", 5.0)])
@pytest.mark.parametrize("numtaps", [5, 7, 31])
def test_halfband_and_its_mirror_add_to_the_identity(numtaps, window):
    taps = halfband(numtaps, window=window, dtype=F64)
    assert _halfband_error(taps) == 0
    torch.testing.assert_close(taps, taps.flip(0), rtol=0, atol=1e-15)
    assert float(taps.sum()) == pytest.approx(1, abs=1e-14)
    centred = torch.cat([taps, torch.zeros(33, dtype=F64)]).roll(-(numtaps // 2))
    response = torch.fft.fft(centred).real  # zero-phase
    mirrored = torch.fft.fft(centred * (-1.0) ** torch.arange(len(centred))).real
    torch.testing.assert_close(response + mirrored, torch.ones_like(response))


def _halfband_error(taps):
    n = torch.arange(len(taps)) - len(taps) // 2
    return float((taps + (-1.0) ** n * taps - (n == 0).double()).abs().max())


def test_halfband_check_catches_firwin():
    assert _halfband_error(firwin(31, 0.5, dtype=F64)) > 1e-6  # scaling to unit DC moves the centre off 1/2


@pytest.mark.parametrize(("numtaps", "window"), [(4, "hann"), (1, "hann"), (3, "hann"), (3, "blackman")])
def test_halfband_refuses(numtaps, window):
    with pytest.raises(ValueError, match=r"numtaps >= 3, got|take more taps"):
        halfband(numtaps, window=window)


@pytest.mark.parametrize("numtaps", [3, 8, 31, 64])
@pytest.mark.parametrize("cutoff", [0.2, 0.8])
def test_minimum_phase_is_scipys(numtaps, cutoff):
    taps = scipy.signal.firwin(numtaps, cutoff)
    expected = scipy.signal.minimum_phase(taps, half=False)
    np.testing.assert_allclose(minimum_phase(torch.tensor(taps)).numpy(), expected, rtol=0, atol=1e-12)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=8).filter(lambda h: max(map(abs, h)) > 1e-3))
def test_minimum_phase_keeps_the_magnitude_and_brings_energy_forward(values):
    taps = torch.tensor(values, dtype=F64)
    smallest = torch.fft.fft(taps, 4096).abs().min()
    result = minimum_phase(taps)
    energy = float((taps**2).sum())
    if smallest > 0.05 * energy**0.5:  # zeros on the unit circle are met only approximately
        error = torch.fft.fft(result, 256).abs() - torch.fft.fft(taps, 256).abs()
        assert error.abs().max() < 1e-6 * energy**0.5
        assert (result.square().cumsum(0) - taps.square().cumsum(0)).min() > -1e-6 * energy


def test_minimum_phase_test_catches_the_square_root():
    taps = scipy.signal.firwin(31, 0.4)
    planted = scipy.signal.minimum_phase(taps, half=True)
    assert np.abs(np.abs(np.fft.fft(planted, 256)) - np.abs(np.fft.fft(taps, 256))).max() > 0.01


@pytest.mark.parametrize(
    ("taps", "n_fft", "message"),
    [
        (torch.ones(2, 3), None, r"got \(2, 3\)"),
        (torch.ones(0), None, r"got \(0,\)"),
        (torch.zeros(3), None, "not all zero"),
        (torch.tensor([1.0, float("nan")]), None, "finite"),
        (torch.ones(3), 7, "even"),
        (torch.ones(3), 2, "at least the 3 taps"),
    ],
)
def test_minimum_phase_refuses(taps, n_fft, message):
    with pytest.raises(ValueError, match=message):
        minimum_phase(taps, n_fft)

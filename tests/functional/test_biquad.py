"""Second-order sections: their responses, and their poles in float32 whatever the numbers."""

import numpy as np
import pytest
import scipy.signal as ss
import torch

from dsptorch.functional import biquad_sos
from dsptorch.functional.biquad import BIQUADS, reflected, reflections
from dsptorch.functional.lfilter import pole_radius
from tests.tolerances import assert_close

F64 = torch.float64


def gain(sos, freq):
    """The magnitude of the response at some frequencies in cycles per sample."""
    _, response = ss.sosfreqz(sos.reshape(1, 6).numpy(), 2 * np.pi * np.atleast_1d(freq))
    return abs(response)


def check_responses(design):
    """Gains at DC, at the frequency and at Nyquist, as analogue filters of that Q have them."""
    for freq in (0.01, 0.1, 0.25, 0.4):
        for q in (0.3, 0.5**0.5, 5.0):
            expected = {
                "lowpass": (1, q, 0),
                "highpass": (0, q, 1),
                "bandpass": (0, 1, 0),
                "notch": (1, 0, 1),
                "allpass": (1, 1, 1),
            }
            for kind, gains in expected.items():
                sos = design(kind, torch.tensor(freq, dtype=F64), torch.tensor(q, dtype=F64))
                assert np.allclose(gain(sos, [1e-9, freq, 0.5 - 1e-9]), gains, atol=1e-6), (kind, freq, q)


def test_responses():
    check_responses(biquad_sos)


@pytest.mark.parametrize(
    "broken",
    [
        lambda kind, freq, q: biquad_sos(kind, freq / 2, q),
        lambda kind, freq, q: biquad_sos(kind, freq, 2 * q),
        lambda kind, freq, q: biquad_sos("bandpass" if kind == "notch" else kind, freq, q),
    ],
    ids=["cycles for half-cycles", "half the bandwidth", "another kind"],
)
def test_wrong_responses_are_caught(broken):
    with pytest.raises(AssertionError):
        check_responses(broken)


def test_the_bandwidth_is_that_of_q():
    """Of a narrow band-pass: 3 dB down at freq -+ freq / (2 q)."""
    sos = biquad_sos("bandpass", torch.tensor(0.05, dtype=F64), torch.tensor(50.0, dtype=F64))
    assert np.allclose(gain(sos, [0.0495, 0.0505]), 0.5**0.5, atol=0.01)


def test_shapes_broadcast():
    freq, q = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([1.0])
    sos = biquad_sos("notch", freq, q)
    assert sos.shape == (6, 3)
    for c in range(3):
        assert_close(sos[:, c], biquad_sos("notch", freq[c], 1.0))


def test_refuses_another_kind():
    with pytest.raises(ValueError, match=r"lowpass, highpass, bandpass, notch, allpass, got 'shelf'"):
        biquad_sos("shelf", 0.1, 1.0)


def check_inside(radius, k1, k2):
    """The poles of the rounded coefficients, found in float64, are inside the circle."""
    a1, a2 = reflected(k1, k2, radius)
    assert a1.dtype == torch.float32
    assert (pole_radius(a1, a2) < 1).all()


def test_reflections_keep_the_poles_inside_in_float32():
    """On the corners of the square too, where two poles are equal; with the longest half-life that `SOS` allows."""
    k1, k2 = torch.rand(2, 10_000) * 2 - 1
    corners = torch.tensor([[1.0, 1, -1, -1, 0], [1.0, -1, 1, -1, 1]])
    near = 1 - torch.rand(2, 10_000) * 1e-6
    check_inside(2 ** (-1 / 512), torch.cat([k1, corners[0], near[0]]), torch.cat([k2, corners[1], near[1]]))


def test_without_a_radius_a_pole_at_1_is_caught():
    k = torch.tanh(torch.tensor([10.0]))  # exactly 1 in float32
    with pytest.raises(AssertionError):
        check_inside(1.0, -k, k)


def test_reflections_are_the_inverse():
    k1, k2 = torch.rand(2, 1000, dtype=F64) * 1.98 - 0.99
    for mine, its in zip(reflections(*reflected(k1, k2, 0.9), 0.9), (k1, k2), strict=True):
        assert_close(mine, its)


@pytest.mark.parametrize("kind", BIQUADS)
def test_designs_keep_the_poles_inside_in_float32(kind):
    """At the bounds that the layer allows."""
    freq = torch.cat([torch.tensor([1e-3, 0.499]), 1e-3 + 0.498 * torch.rand(10_000)])
    q = torch.cat([torch.tensor([0.1, 100.0]), 0.1 * 1000 ** torch.rand(10_000)])
    for some in (freq, freq[:1], freq[1:2]):
        for others in (q, q[:1], q[1:2]):
            sos = biquad_sos(kind, some, others)
            assert (pole_radius(sos[4], sos[5]) < 1).all()
            assert sos.isfinite().all()

"""Strategies of recursive filters draw stable ones, and shrink to something a person can read."""

import numpy as np
import pytest
import torch
from hypothesis import find, given
from hypothesis import strategies as st

from dsptorch.functional import sosfilt
from dsptorch.functional.lfilter import pole_radius
from dsptorch.testing import assert_streaming_equals_batch
from dsptorch.testing import strategies as dst
from tests.strategies import fails, holds


def check_stable(sos, radius):
    assert sos.shape[1] == 6
    assert (sos[:, 3] == 1).all()
    assert (pole_radius(sos[:, 4], sos[:, 5]) <= radius + 1e-6).all()
    impulse = torch.zeros(1, 800, 1, dtype=torch.float64)
    impulse[:, 0] = 1
    assert sosfilt(sos, impulse)[:, 600:].abs().max() < 1e-9


def test_sections_are_stable():
    holds(lambda sos: check_stable(sos, 0.9), dst.stable_sections())


def test_a_radius_that_is_too_great_is_caught():
    fails(lambda sos: check_stable(sos, 0.9), dst.stable_sections(max_radius=0.99), times=3)


@given(dst.stable_poles(0.5))
def test_poles_are_inside(pole):
    assert abs(pole) <= 0.5 + 1e-12


@given(dst.stable_filters())
def test_filters_are_products_of_sections(coefficients):
    b, a = (c.numpy() for c in coefficients)
    assert b[0] == a[0] == 1
    assert np.abs(np.roots(a)).max(initial=0) < 0.9 + 1e-3


@pytest.mark.parametrize("radius", [0.0, 1.0])
def test_refuses_a_radius_on_the_circle(radius):
    with pytest.raises(ValueError, match=r"max_radius must be in \(0, 1\)"):
        find(dst.stable_poles(radius), lambda pole: True)


def test_drawn_layers_stream():
    def check(layer, seed):
        x = torch.randn(2, 24, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        assert_streaming_equals_batch(layer.double(), x, chunkings=1, gradients=False)

    holds(lambda case: check(*case), st.tuples(dst.recursive_layers(), st.integers(0, 9)))


@pytest.mark.parametrize(
    ("condition", "printed"),
    [
        (lambda layer: True, "EMA(4, half_life=1)"),
        (
            lambda layer: type(layer).__name__ == "Resonator",
            "Resonator(4, freq=0.05, half_life=1, gain=peak, output=real)",
        ),
        (lambda layer: type(layer).__name__ == "Biquad", "Biquad(4, kind=lowpass, freq=0.05, q=0.5)"),
    ],
)
def test_layers_shrink(condition, printed):
    assert repr(find(dst.recursive_layers(), condition)) == printed

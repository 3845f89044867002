"""Responses against filtering what they are responses to, and against scipy."""

import math

import numpy as np
import pytest
import scipy.signal
import torch
from hypothesis import strategies as st

from dsptorch import PeriodicFIR
from dsptorch.functional import FrequencyResponse
from tests.strategies import expressions, fails, holds
from tests.tolerances import assert_close


def check_impulse(response, expression, phase):
    f = expression.build()
    h = response(f, phase)
    start = f.period * math.ceil((f.lookahead + abs(phase)) / f.period) + phase
    x = torch.zeros(1, start + f.memory + 4, 2, dtype=torch.float64)
    x[:, start] = 1
    y = f(x)[0]
    assert torch.equal(h.expand(-1, 2).double(), y[start - f.lookahead : start + f.memory + 1])
    assert not y[: start - f.lookahead].any()
    assert not y[start + f.memory + 1 :].any()


def test_impulse_response_is_the_response_to_an_impulse():
    cases = expressions(), st.integers(-5, 12)
    holds(lambda *case: check_impulse(PeriodicFIR.impulse_response, *case), *cases)
    fails(lambda *case: check_impulse(lambda f, phase: f.impulse_response(phase + 1), *case), *cases)
    fails(lambda *case: check_impulse(lambda f, phase: f.impulse_response(phase).flip(0), *case), *cases)


@pytest.mark.parametrize("taps", [[1.0], [0.25, 0.5, 0.25], [1.0, -0.3, 0.2, 0.7, -1.0]])
def test_frequency_response_is_scipys(taps):
    def check(response):
        w, h = scipy.signal.freqz(taps, worN=64)
        freq, ours = response(PeriodicFIR.fir(torch.tensor(taps, dtype=torch.float64)), 64)
        np.testing.assert_allclose(freq.numpy() * 2 * np.pi, w, atol=1e-12)
        np.testing.assert_allclose(ours[0, :, 0].numpy(), h, atol=1e-12)
        assert ours.shape == (1, 64, 1)

    check(PeriodicFIR.frequency_response)
    with pytest.raises(AssertionError):
        check(
            lambda f, freq: FrequencyResponse(
                f.frequency_response(freq).freq * 2, f.frequency_response(freq).response
            )
        )
    if len(taps) > 1:
        with pytest.raises(AssertionError):
            check(lambda f, freq: f.frequency_response(-f.frequency_response(freq).freq))


def test_frequency_response_at_given_frequencies():
    f = PeriodicFIR.fir(torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64))
    freq = torch.tensor([0.0, 0.125, 0.3], dtype=torch.float64)
    _, expected = scipy.signal.freqz([1, 2, 3], worN=2 * np.pi * freq.numpy())
    np.testing.assert_allclose(f.frequency_response(freq).response[0, :, 0].numpy(), expected, atol=1e-12)


def check_aliases(response, expression, cycles):
    """A complex tone (two real ones) comes out as the sum of the aliases with the gains that were said."""
    f = expression.build()
    freq = torch.tensor([cycles / 32], dtype=torch.float64)
    gains = response(f, freq)[:, 0]
    settled = f.period * math.ceil(max(1, f.memory) / f.period)
    t = torch.arange(settled + 3 * f.period + f.lookahead, dtype=torch.float64)
    tone = torch.exp(2j * math.pi * freq * t).reshape(1, -1, 1).expand(-1, -1, 2)
    y = torch.complex(f(tone.real.contiguous()), f(tone.imag.contiguous()))[0]
    aliases = freq + torch.arange(f.period, dtype=torch.float64) / f.period
    expected = torch.einsum(
        "tm,mc->tc", torch.exp(2j * math.pi * torch.outer(t, aliases)), gains.expand(-1, 2)
    )
    stop = len(t) - f.lookahead
    assert_close(torch.view_as_real(y[settled:stop]), torch.view_as_real(expected[settled:stop]))


def test_alias_terms_are_what_a_tone_becomes():
    cases = expressions(), st.integers(-15, 16)
    holds(lambda *case: check_aliases(lambda f, at: f.frequency_response(at).response, *case), *cases)
    fails(
        lambda *case: check_aliases(lambda f, at: f.frequency_response(at).response.roll(1, 0), *case), *cases
    )
    fails(lambda *case: check_aliases(lambda f, at: f.frequency_response(at).response.conj(), *case), *cases)


def test_a_time_invariant_filter_has_no_aliases():
    def check(f):
        assert f.frequency_response(16).response[1:].abs().sum() < 1e-6

    twice = PeriodicFIR.fir(torch.tensor([1.0, 0.5])).at_rate(2)
    assert len(twice.frequency_response(16).response) == 1
    low = PeriodicFIR.hold(2) @ PeriodicFIR.fir(torch.tensor([0.5, 0.5]))
    check(twice + 0.0 * PeriodicFIR.hold(2))
    check(low + (PeriodicFIR.identity() - low))
    with pytest.raises(AssertionError):
        check(low)


def test_responses_have_gradients():
    taps = torch.rand(3, dtype=torch.float64, requires_grad=True)

    def energy(taps):
        return (
            (PeriodicFIR.hold(2) @ PeriodicFIR.fir(taps)).frequency_response(8).response.abs().square().sum()
        )

    assert torch.autograd.gradcheck(energy, (taps,))


def test_without_weights():
    assert torch.equal(PeriodicFIR.identity().impulse_response(), torch.ones(1, 1))
    assert torch.equal(PeriodicFIR.hold(3).impulse_response(0), torch.ones(3, 1))
    assert torch.equal(PeriodicFIR.hold(3).impulse_response(1), torch.zeros(3, 1))

"""Delays by fractions of a sample against loops of Python numbers, in pieces and packed."""

import math

import pytest
import torch
from hypothesis import strategies as st

from dsptorch.functional import allpass_delay, find_segments, fractional_delay
from tests.oracles import allpass_delay_loop, fractional_delay_loop
from tests.strategies import fails, holds
from tests.tolerances import assert_close

LONGEST = 4


def linear(x, delay, **kwargs):
    return fractional_delay(x, delay, LONGEST, **kwargs)


def allpass(x, delay, **kwargs):
    return allpass_delay(x, delay, LONGEST, **kwargs)[0]


WAYS = {"linear": (linear, fractional_delay_loop, 0.0), "allpass": (allpass, allpass_delay_loop, 0.5)}
ways = pytest.mark.parametrize("way", WAYS)


@st.composite
def cases(draw, way):
    """A signal, and delays of each sample and group of channels, in each row or in all."""
    batch, time, channels = draw(st.integers(0, 2)), draw(st.integers(0, 9)), draw(st.sampled_from((1, 2, 4)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    x = torch.randn(batch, time, channels, generator=generator, dtype=torch.float64)
    groups = draw(st.sampled_from([n for n in (1, 2, 4) if channels % n == 0]))
    shape = (draw(st.sampled_from((1, batch))), time, groups)
    least = WAYS[way][2]
    delay = least + (LONGEST - least) * torch.rand(shape, generator=generator, dtype=torch.float64)
    if draw(st.booleans()):  # whole and half samples, both ends too
        delay = (2 * delay).round() / 2
    return x, delay


def check(delayed, way, x, delay):
    assert_close(delayed(x, delay), WAYS[way][1](x, delay))


@ways
def test_is_the_loop(way):
    holds(lambda case: check(WAYS[way][0], way, *case), cases(way))


BROKEN = {
    "reads the future": lambda f: lambda x, delay: f(torch.cat([x[:, 1:], 0 * x[:, :1]], 1), delay),
    "a sample late": lambda f: lambda x, delay: f(torch.cat([0 * x[:, :1], x[:, :-1]], 1), delay),
    "the other fraction": lambda f: lambda x, delay: f(x, 2 * delay.floor() + 1 - delay),
}


@ways
@pytest.mark.parametrize("bug", BROKEN)
def test_the_loop_catches(way, bug):
    fails(lambda case: check(BROKEN[bug](WAYS[way][0]), way, *case), cases(way), times=3)


@ways
def test_pieces_are_the_whole(way):
    def check_pieces(case, cut):
        x, delay = case
        cut = min(cut, x.shape[1])
        whole = WAYS[way][0](x, delay)
        kept = min(cut, LONGEST)
        seen = x[:, cut - kept :]
        if way == "linear":
            first, later = linear(x[:, :cut], delay[:, :cut]), linear(seen, delay[:, cut:], history=kept)
        else:
            first, zf = allpass_delay(x[:, :cut], delay[:, :cut], LONGEST)
            later, _ = allpass_delay(seen, delay[:, cut:], LONGEST, zf, history=kept)
        assert_close(torch.cat([first, later], 1), whole)

    holds(check_pieces, cases(way), st.integers(0, 9))


@ways
def test_packed_signals_are_as_if_alone(way):
    x = torch.randn(2, 12, 2, dtype=torch.float64)
    x[:, 4] = math.inf  # the first signal's last sample: what it touches is not a number
    delay = 0.6 + 3 * torch.rand(2, 12, 1, dtype=torch.float64)
    delayed, segments = WAYS[way][0], find_segments(torch.tensor([[0] * 5 + [1] * 7] * 2))
    together = delayed(x, delay, segments=segments)[:, 5:]
    assert_close(together, delayed(x[:, 5:], delay[:, 5:]))


def test_an_allpass_passes_all():
    """Its response at a fixed delay has the amplitude 1 at every frequency; linear interpolation dims high ones."""
    impulse = torch.zeros(1, 64, 1, dtype=torch.float64)
    impulse[:, 0] = 1
    for delay in (0.5, 0.75, 1.25, 2.49, 3.5):
        delays = torch.full((1, 64, 1), delay, dtype=torch.float64)
        response = torch.fft.rfft(allpass(impulse, delays)[0, :, 0])
        assert_close(response.abs(), torch.ones(33, dtype=torch.float64))
        slow = -torch.angle(response[1]) * 64 / (2 * math.pi)
        assert abs(slow.item() - delay) < 0.01  # the delay of low frequencies
    dim = torch.fft.rfft(linear(impulse, delays)[0, :, 0]).abs()
    assert dim[-1] < 0.01


@ways
@pytest.mark.parametrize("delay", [0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0])
def test_rounding_of_a_simple_delay_does_not_show(way, delay):
    """Delays of halves and quarters come often, and from another compiler a bit less or more."""
    x = torch.randn(1, 20, 1, dtype=torch.float64)
    delays = torch.full((1, 20, 1), delay, dtype=torch.float64)
    delays[:, ::2] -= 1e-14
    assert_close(WAYS[way][0](x, delays), WAYS[way][0](x, delays.round(decimals=6)))


def test_a_delay_that_is_not_a_number_reads_no_other_memory():
    for delay in (math.nan, math.inf, -math.inf, 1e30):
        for delayed in (linear, allpass):
            y = delayed(torch.ones(1, 5, 1), torch.full((1, 5, 1), delay))
            assert y.shape == (1, 5, 1)
    assert linear(torch.ones(1, 5, 1), torch.full((1, 5, 1), math.nan)).isnan().all()


@pytest.mark.parametrize(
    ("x", "delay", "longest", "error", "says"),
    [
        (torch.ones(5, 1), torch.ones(1, 5, 1), 4, ValueError, r"a delay expects \(batch, time, channels\)"),
        (
            torch.ones(1, 5, 1),
            torch.ones(5),
            4,
            ValueError,
            r"delay must be of shape .*\(1 or 1, 5, groups\)",
        ),
        (torch.ones(2, 5, 1), torch.ones(3, 5, 1), 4, ValueError, r"\(2 or 1, 5, groups\), got \(3, 5, 1\)"),
        (
            torch.ones(1, 5, 3),
            torch.ones(1, 5, 2),
            4,
            ValueError,
            "must divide the 3 channels of the signal, got 2",
        ),
        (torch.ones(1, 5, 1), torch.ones(1, 5, 1).long(), 4, TypeError, r"floating-point, .*delay.float\(\)"),
        (torch.ones(1, 5, 1), torch.ones(1, 5, 1), 0, ValueError, "max_delay must be at least 1, got 0"),
    ],
)
def test_refuses(x, delay, longest, error, says):
    for delayed in (fractional_delay, allpass_delay):
        with pytest.raises(error, match=says):
            delayed(x, delay, longest)

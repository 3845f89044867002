"""ModulatedDelay against a plain loop, its bounds for every raw value, and what moves it."""

import math

import pytest
import torch
from hypothesis import strategies as st

from dsptorch import LFO, BoundedHyperparam, ModulatedDelay, fold
from tests.layers.table import scattered, signal
from tests.strategies import fails, holds
from tests.tolerances import assert_same

WAYS = ("linear", "allpass")
ways = pytest.mark.parametrize("way", WAYS)


def number(value, j):
    """What a hyperparameter is for one oscillator: fixed, one for all, or one for each."""
    if not isinstance(value, BoundedHyperparam):
        return value
    values = value.value.flatten().tolist()
    return values[j] if len(values) > 1 else values[0]


def one_at_a_time(layer, x):
    """The equations, sample by sample, in Python's numbers."""
    lfo, longest = layer.lfo, layer.max_delay
    least = {"linear": 0.0, "allpass": 0.49}[layer.interpolation]
    rows, time, channels = x.shape
    y = torch.zeros_like(x)
    for row in range(rows):
        for c in range(channels):
            j = c // (channels // lfo.num)
            shortest, depth, mix = (number(h, j) for h in (layer.min_delay, layer.depth, layer.mix))
            signal, before = x[row, :, c].tolist(), 0.0
            for t in range(time):
                wave = math.sin(2 * math.pi * (number(lfo.freq, j) * t + lfo.phase[j].item()))
                delay = shortest + depth * (longest - shortest) * (1 + wave) / 2
                whole = math.floor(delay - least)
                part = delay - whole
                near, far = (signal[t - k] if k <= t else 0.0 for k in (whole, whole + 1))
                if layer.interpolation == "linear":
                    late = (1 - part) * near + part * far
                else:
                    a = (1 - part) / (1 + part)
                    late = before = a * (near - before) + far
                y[row, t, c] = (1 - mix) * signal[t] + mix * late
    return y


@st.composite
def layers(draw, way):
    num, longest = draw(st.sampled_from((1, 2, 4))), draw(st.integers(1, 6))
    values = {"linear": (0.0, 0.25), "allpass": (0.5, 0.75)}[way]
    shortest = draw(st.sampled_from((None, *values)))
    if draw(st.booleans()):
        shortest = BoundedHyperparam(0.8 * torch.ones(num), values[0], 1.0)
    depth, mix = draw(st.sampled_from((None, 1.0, 0.0))), draw(st.sampled_from((None, 1.0)))
    lfo = LFO(num, draw(st.sampled_from((0.3, (0.01, 0.2)))))
    layer = ModulatedDelay(4, longest, lfo, min_delay=shortest, depth=depth, mix=mix, interpolation=way)
    return scattered(layer, draw(st.integers(0, 99)))


@st.composite
def cases(draw, way):
    return draw(layers(way)), signal(2, draw(st.integers(0, 14)), seed=draw(st.integers(0, 9)))


def check(change, layer, x):
    expected = one_at_a_time(layer, x)
    change(layer)
    assert (layer(x) - expected).abs().max() < 1e-10 if x.numel() else True


@ways
def test_is_the_loop(way):
    holds(lambda case: check(lambda layer: None, *case), cases(way))


@ways
@pytest.mark.parametrize(
    "change",
    [
        lambda layer: layer.lfo.phase.data.add_(0.01),
        lambda layer: layer.lfo.phase.data.neg_(),
        lambda layer: setattr(layer, "max_delay", layer.max_delay + 1),
        lambda layer: (
            setattr(layer, "depth", 0.6) if isinstance(layer.depth, float) else layer.depth.set_(0.2)
        ),
        lambda layer: setattr(layer, "interpolation", WAYS[layer.interpolation == "linear"]),
    ],
    ids=["phase", "backwards", "longest", "depth", "interpolation"],
)
def test_the_loop_catches(way, change):
    fails(lambda case: check(change, *case), cases(way), times=2)


@ways
def test_no_raw_value_leaves_the_interval(way):
    least = {"linear": 0.0, "allpass": 0.5}[way]
    for dtype in (torch.float32, torch.float64):
        layer = ModulatedDelay(
            64,
            7,
            LFO(64),
            min_delay=BoundedHyperparam(torch.ones(64), least, 7.0),
            depth=BoundedHyperparam(torch.full((64,), 0.5), 0.0, 1.0),
            interpolation=way,
        ).to(dtype)
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.copy_(100 * torch.rand(parameter.shape) - 50)
            delays = layer.delays(torch.arange(10**9, 10**9 + 500))
        assert delays.shape == (500, 64)
        assert ((delays >= least) & (delays <= 7)).all()
        assert delays.max() > 6.9
        assert layer.bfloat16()(signal(1, 50, torch.bfloat16, width=64)).isfinite().all()


def test_depth_rate_and_phase_learn():
    """Each comes back to the delay that made the data."""
    true = ModulatedDelay(1, 4, LFO(1, BoundedHyperparam(0.05, 0.0, 0.1), phase=0.1), depth=0.7, mix=1.0)
    x = torch.sin(0.3 * torch.arange(200.0)).reshape(1, 200, 1)
    target = true(x).detach()
    depth = BoundedHyperparam(0.5, 0.0, 1.0)
    layer = ModulatedDelay(1, 4, LFO(1, BoundedHyperparam(0.0495, 0.0, 0.1), phase=0.0), depth=depth, mix=1.0)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.02)
    losses = []
    for _ in range(150):
        loss = (layer(x) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.01 * losses[0]
    assert layer.depth.value.item() == pytest.approx(0.7, abs=0.03)
    assert layer.lfo.freq.value.item() == pytest.approx(0.05, abs=2e-4)
    assert layer.lfo.phase.item() == pytest.approx(0.1, abs=0.03)


def test_a_vibrato_of_no_depth_is_a_delay():
    x = signal(2, 12)
    still = ModulatedDelay(4, 3, min_delay=2.0, depth=0.0, mix=1.0)
    assert_same(still(x)[:, 2:], x[:, :-2])
    assert not still(x)[:, :2].any()
    assert_same(ModulatedDelay(4, 3, depth=0.0, mix=1.0)(x), x)
    assert_same(ModulatedDelay(4, 3, mix=0.0)(x), x)


@ways
def test_the_state_is_the_last_samples(way):
    x = signal(2, 9)
    _, state = ModulatedDelay(4, 5, interpolation=way).step(x)
    history = state.memory if way == "linear" else state.memory[0]
    assert_same(history, x[:, -5:])


@ways
def test_folds_to_itself_with_numbers_for_what_learned(way):
    layer, x = scattered(ModulatedDelay(4, 3, LFO(2), interpolation=way)), signal()
    folded = fold(layer)
    assert type(folded) is ModulatedDelay
    assert not [p for p in folded.parameters() if p.requires_grad]
    assert_same(folded(x), layer(x))


def test_declares_the_delay_that_it_is_given():
    layer = ModulatedDelay(4, 6, mix=1.0, delay=3)
    assert (layer.delay, layer.receptive_field, layer.lookahead, layer.period) == (3, 7, 0, None)


def test_parameters_that_are_not_numbers_show_in_the_output():
    """And read no memory that is not theirs."""
    layer = ModulatedDelay(4, 3)
    layer.depth.raw.data.fill_(math.nan)
    assert layer(signal(dtype=torch.float32)).isnan().all()


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: ModulatedDelay(4, 0), ValueError, "max_delay must be at least 1, got 0"),
        (lambda: ModulatedDelay(4, 2.5), TypeError, r"max_delay must be an int, got 2\.5"),
        (lambda: ModulatedDelay(4, 3, delay=-1), ValueError, "delay must be at least 0, got -1"),
        (
            lambda: ModulatedDelay(4, 3, LFO(3)),
            ValueError,
            "must divide d_model, got 3 of them for a width of 4",
        ),
        (lambda: ModulatedDelay(4, 3, 0.1), TypeError, "lfo must be an LFO or None, got 0.1 of type float"),
        (lambda: ModulatedDelay(4, 3, min_delay=4), ValueError, r"min_delay.*\[0, 3\], got 4"),
        (
            lambda: ModulatedDelay(4, 3, min_delay=0.0, interpolation="allpass"),
            ValueError,
            r"min_delay must be a finite number in \[0.5, 3\], got 0",
        ),
        (lambda: ModulatedDelay(4, 3, depth=1.5), ValueError, r"depth.*\[0, 1\], got 1.5"),
        (
            lambda: ModulatedDelay(4, 3, LFO(2), mix=BoundedHyperparam(torch.ones(4) / 2, 0, 1)),
            ValueError,
            r"mix must hold 1 value, or 2.*got shape \(4,\)",
        ),
        (
            lambda: ModulatedDelay(4, 3, interpolation="cubic"),
            ValueError,
            "interpolation must be 'linear' or 'allpass', got 'cubic'",
        ),
    ],
)
def test_refuses(make, error, says):
    with pytest.raises(error, match=says):
        make()

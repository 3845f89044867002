"""Tremolo: its equation, the identity that it starts as, and its bounds."""

import math

import pytest
import torch

from dsptorch import LFO, BoundedHyperparam, Tremolo, fold, insert
from tests.layers.table import scattered, signal
from tests.tolerances import assert_close, assert_same


def one_at_a_time(layer, x):
    y = torch.zeros_like(x)
    for t in range(x.shape[1]):
        for c in range(x.shape[2]):
            j = c // (x.shape[2] // layer.lfo.num)
            freq, phase = layer.lfo.freq.value[j].item(), layer.lfo.phase[j].item()
            gain = 1 + layer.depth.value[j].item() * math.sin(2 * math.pi * (freq * t + phase))
            y[:, t, c] = gain * x[:, t, c]
    return y


def check(change):
    layer, x = scattered(Tremolo(4, LFO(2, (0.01, 0.3)))), signal()
    expected = one_at_a_time(layer, x)
    change(layer)
    assert_close(layer(x), expected)


def test_is_its_equation():
    check(lambda layer: None)


@pytest.mark.parametrize(
    "change",
    [
        lambda layer: layer.lfo.phase.data.neg_(),
        lambda layer: layer.depth.raw.data.neg_(),
        lambda layer: layer.depth.raw.data.copy_(layer.depth.raw.data.flip(0)),
    ],
    ids=["phase", "depth", "groups"],
)
def test_the_equation_catches(change):
    with pytest.raises(AssertionError):
        check(change)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_starts_as_the_identity_and_can_leave_it(dtype):
    layer, x = Tremolo(4, LFO(2)), signal(dtype=dtype)
    x[0, 3] = math.inf
    assert_same(layer(x), x)
    x = signal(dtype=torch.float32)
    (layer(x) * x).sum().backward()
    assert layer.depth.raw.grad.ne(0).any()
    half = Tremolo(4, LFO(2), init="half")
    assert half.depth.value.tolist() == pytest.approx([0.5, 0.5])
    assert not torch.equal(half(x), x)


def test_an_inserted_one_changes_nothing_at_first():
    model, x = torch.nn.Sequential(torch.nn.Linear(4, 4)), signal(dtype=torch.float32)
    before = model(x)
    insert(model, "0", lambda block: Tremolo(4, LFO(4)), position="after")
    assert_same(model(x), before)


def test_no_amplitude_changes_its_sign():
    layer = Tremolo(4, LFO(4, waveform="square"))
    with torch.no_grad():
        for raw in (-50.0, 50.0):
            layer.depth.raw.fill_(raw)
            assert (layer(torch.ones(1, 500, 4)) >= -1e-6).all()
            assert (layer(torch.ones(1, 500, 4)) <= 2 + 1e-6).all()


def test_folds_to_itself_with_numbers_for_what_learned():
    layer, x = scattered(Tremolo(4, LFO(2))), signal()
    folded = fold(layer)
    assert not [p for p in folded.parameters() if p.requires_grad]
    assert_same(folded(x), layer(x))


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: Tremolo(4, LFO(3)), ValueError, "the oscillators must divide d_model, got 3 of them"),
        (lambda: Tremolo(4, 0.5), TypeError, "lfo must be an LFO or None, got 0.5"),
        (lambda: Tremolo(4, depth=1.5), ValueError, r"depth must be a finite number in \[-1, 1\], got 1.5"),
        (lambda: Tremolo(4, depth=BoundedHyperparam(0.5, 0, 2)), ValueError, r"depth must stay in \[-1, 1\]"),
        (lambda: Tremolo(4, init="full"), ValueError, "init must be one of identity, half, got 'full'"),
    ],
)
def test_refuses(make, error, says):
    with pytest.raises(error, match=says):
        make()

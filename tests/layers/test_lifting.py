"""Lifting reconstructs, whatever the steps: filters, networks, oscillators; and whole numbers bit by bit."""

import numpy as np
import pytest
import pywt
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from dsptorch import FIR, Chain, Decimate, InverseLifting, LFORouting, Lifting, Pointwise, Subbands
from dsptorch.layers import FixedFilter, fold_layer
from dsptorch.testing import assert_close, assert_same
from dsptorch.testing.strategies import layers as any_layers
from tests.layers.table import WIDTH, scattered, signal


def round_trip(lifting, x):
    """Split, put together, and take the delay of one sample back."""
    y = InverseLifting(lifting)(lifting(torch.nn.functional.pad(x, (0, 0, 0, 1))))
    return y[:, 1 : 1 + x.shape[1]]


@given(st.lists(any_layers(WIDTH, depth=0, causal=None), min_size=1, max_size=4), st.integers(1, 9))
def test_any_layers_reconstruct(steps, time):
    steps = [step for step in steps if step.delay == 0] or [FIR(WIDTH)]
    lifting, x = Lifting(*steps).double(), signal(time=time)
    assert_close(round_trip(lifting, x), x, scale=max(1.0, lifting(x).abs().max().item()))


def test_a_step_that_is_taken_twice_is_caught(monkeypatch):
    lifting, x = scattered(Lifting(FIR(WIDTH), FIR(WIDTH))), signal()
    original = Lifting.lift

    def wrong(self, pair, memories, clock, *, inverse):
        return original(self, pair, memories, clock, inverse=False)

    assert_close(round_trip(lifting, x), x)
    monkeypatch.setattr(InverseLifting, "lift", wrong)
    with pytest.raises(AssertionError):
        assert_close(round_trip(lifting, x), x)


def test_networks_reconstruct_and_learn():
    """After training by something else altogether, too."""
    torch.manual_seed(0)

    def network():
        return nn.Sequential(nn.Linear(WIDTH, 16), nn.Tanh(), nn.Linear(16, WIDTH))

    lifting, x = Lifting(network(), network(), d_model=WIDTH), signal(4, 32, torch.float32)
    optimizer = torch.optim.Adam(lifting.parameters(), lr=0.1)
    for _ in range(100):
        optimizer.zero_grad()
        coarse, detail = lifting(x).chunk(2, -1)
        (detail.square().mean() - 0.1 * coarse.square().mean().log()).backward()
        optimizer.step()
    size = max(p.abs().max().item() for p in lifting.parameters())
    assert size > 1
    assert_close(round_trip(lifting, x), x, scale=lifting(x).abs().max().item())


class Floor(nn.Module):
    """Whole numbers."""

    def forward(self, x):
        return x.floor()


def whole_numbers(lifting, dtype):
    x = signal(3, 40, dtype=dtype, seed=5).mul(1000).round()
    y = lifting(x)
    assert_same(y, y.round())
    assert_same(round_trip(lifting, x), x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_whole_numbers_come_back_bit_by_bit(dtype):
    def floored(*taps):
        fir = FIR(WIDTH, len(taps), init=torch.tensor(taps).unsqueeze(1).repeat(1, WIDTH))
        return Chain(fir, Pointwise(Floor(), WIDTH)).to(dtype)

    whole_numbers(Lifting(floored(1.5, -0.5), floored(0.25, 0.25)), dtype)
    whole_numbers(Lifting(floored(0.3, 0.9, -1.7), floored(0.123), floored(2.1)), dtype)
    with pytest.raises(AssertionError):
        whole_numbers(Lifting(FIR(WIDTH, 1, init=torch.full((1, WIDTH), 0.3)).to(dtype)), dtype)


def linear_lifting():
    """The 5/3 wavelet: linear interpolation, which looks ahead, predicts, and the mean is kept."""
    half = torch.full((2, 1), 0.5)
    return Lifting(FIR(1, 2, init=half, causal=False), FIR(1, 2, init=half / 2)).double()


def test_linear_interpolation_is_a_biorthogonal_wavelet():
    """PyWavelets' bior2.2, but for the scale of each band. Its frame n holds sample 2n + 1, ours 2n: x is moved."""
    x = signal(1, 40, width=1)
    frames = linear_lifting()(torch.nn.functional.pad(x, (0, 0, 1, 3))).detach()[0].numpy()
    cA, cD = pywt.dwt(x.flatten().numpy(), "bior2.2", "zero")
    np.testing.assert_allclose(frames[:, 0] * 2**0.5, cA, rtol=0, atol=1e-12)
    np.testing.assert_allclose(frames[:, 1] * -(0.5**0.5), cD, rtol=0, atol=1e-12)


def test_the_frames_say_how_late_they_are():
    lifting = Lifting(FIR(4, 3), FIR(4, 2))
    back = InverseLifting(lifting)
    assert (lifting.rate, lifting.d_out, lifting.delay, lifting.lookahead, lifting.period) == (
        0.5,
        8,
        0,
        0,
        2,
    )
    assert (back.rate, back.d_out, back.delay, back.period) == (2, 4, 0.5, 1)
    assert (lifting.receptive_field, back.receptive_field) == (8, 4)
    chain = Chain(lifting, back)
    assert (chain.delay, chain.rate, chain.lookahead) == (1, 1, 0)
    x = signal(1, 30)
    assert_close(chain.double()(x)[:, 1:], x[:, :-1])
    assert Lifting(LFORouting(4)).period is None
    assert linear_lifting().lookahead == 2
    assert InverseLifting(linear_lifting()).lookahead == 1


def test_the_inverse_shares_the_steps():
    lifting = Lifting(FIR(WIDTH), FIR(WIDTH))
    back = InverseLifting(lifting)
    assert [id(p) for p in back.parameters()] == [id(p) for p in lifting.parameters()]
    with torch.no_grad():
        for p in lifting.parameters():
            p.mul_(0.3)
    assert_close(round_trip(lifting.double(), signal()), signal())


def test_subbands_own_the_steps_once():
    layer, x = scattered(Subbands(Lifting(FIR(WIDTH, 2), FIR(WIDTH, 3)))), signal()
    assert len(list(layer.parameters())) == len(layer.state_dict()) == 2
    assert_close(layer(x)[:, 1:], x[:, :-1])
    assert_close(fold_layer(layer)(x), layer(x))


def test_its_steps_fold():
    lifting, x = scattered(Lifting(Chain(FIR(WIDTH, 3), FIR(WIDTH, 2)), FIR(WIDTH))), signal()
    folded = fold_layer(lifting)
    assert [type(step) for step in folded.members] == [FixedFilter, FixedFilter]
    assert_close(folded(x), lifting(x))
    inverse = fold_layer(InverseLifting(lifting))
    assert_close(inverse(folded(x)), InverseLifting(lifting)(lifting(x)))


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (Lifting, ValueError, r"at least one step: Lifting\(predict, update\)"),
        (
            lambda: Lifting(nn.Tanh()),
            ValueError,
            "width of Tanh, which has no attribute d_model; give d_model",
        ),
        (lambda: Lifting(torch.tanh), TypeError, "must be an nn.Module"),
        (
            lambda: Lifting(FIR(4), FIR(5)),
            ValueError,
            "keep a width of 4, got FIR of rate 1, 5 to 5 channels",
        ),
        (lambda: Lifting(Decimate(4, 2)), ValueError, "steps of rate 1.*got Decimate of rate 1/2"),
        (lambda: Lifting(FIR(4, delay=1)), ValueError, "steps without delay, got delay=1 of FIR"),
        (lambda: InverseLifting(FIR(4)), TypeError, "takes a Lifting, got FIR"),
        (
            lambda: Lifting(nn.Flatten(), d_model=4)(signal(dtype=torch.float32)),
            ValueError,
            "Lifting needs a module that keeps the shape",
        ),
    ],
)
def test_bad_arguments_are_refused(make, kind, message):
    with pytest.raises(kind, match=message):
        make()

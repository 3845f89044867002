"""FIR and Delay: how they start, and what the taps mean."""

import pytest
import torch
from torch import nn

from dsptorch import FIR, Delay, Multirate, Residual
from dsptorch.functional import firwin
from tests.oracles import lptv_loop
from tests.tolerances import assert_close, assert_same


def ramp(time=12, width=4):
    return torch.arange(1.0, time + 1).reshape(1, time, 1).expand(1, time, width)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("kernel_size", [1, 2, 5])
def test_identity(kernel_size, causal):
    layer = FIR(4, kernel_size, causal=causal)
    x = torch.randn(2, 9, 4)
    assert_same(layer(x), x)
    layer.weight.data[0] += 1
    assert not torch.equal(layer(x), x)


@pytest.mark.parametrize("kernel_size", [1, 4, 7])
@pytest.mark.parametrize("cutoff", [0.1, 0.5, 0.9])
def test_lowpass_is_firwin_of_unit_gain_at_dc(kernel_size, cutoff):
    layer = FIR(4, kernel_size, init="lowpass", cutoff=cutoff)
    assert_close(layer.weight, firwin(kernel_size, cutoff).unsqueeze(-1).expand(-1, 4))
    ones = torch.ones(1, 20, 4)
    assert_close(layer(ones)[:, kernel_size - 1 :], ones[:, kernel_size - 1 :])
    assert not torch.allclose(FIR(4, 3, init=torch.ones(3, 4))(ones)[:, 2:], ones[:, 2:])


@pytest.mark.parametrize(
    ("width", "kernel_size", "lags"),
    [
        (4, 3, [0, 0, 1, 2]),
        (12, 6, [0] * 6 + [1, 1, 2, 3, 4, 5]),
        (8, 2, [0] * 4 + [1] * 4),
        (3, 1, [0, 0, 0]),
        (1, 4, [0]),
    ],
)
def test_bank_of_delays(width, kernel_size, lags):
    layer = FIR(width, kernel_size, init="delays")
    y = layer(ramp(width=width))
    for channel, lag in enumerate(lags):
        assert_same(y[0, :, channel].detach(), torch.arange(1.0, 13.0).sub(lag).clamp(min=0)), channel
    assert layer.weight.sum(0).eq(1).all()


def test_bank_reaches_every_delay():
    lags = FIR(64, 6, init="delays").weight.argmax(0)
    assert lags[:32].eq(0).all()
    counts = lags[32:].bincount(minlength=6)[1:]
    assert counts.min() >= 6
    assert counts.max() <= 7


@pytest.mark.parametrize(("causal", "first"), [(True, 0), (False, -2)])
def test_taps_mean_their_equation(causal, first):
    taps = torch.randn(4, 3)
    layer, x = FIR(3, 4, init=taps, causal=causal), torch.randn(2, 9, 3)
    assert_close(
        layer(x), lptv_loop(x, taps.unsqueeze(0), tuple(range(first, first + 4))), dtype=torch.float32
    )
    assert layer.lookahead == -first
    taps.zero_()
    assert layer.weight.any()


@pytest.mark.parametrize("delay", [0, 1, 5, 30])
def test_delay(delay):
    layer = Delay(4, delay)
    assert_same(layer(ramp()), ramp().sub(delay).clamp(min=0))
    assert (layer.delay, layer.lookahead, layer.period, layer.receptive_field) == (delay, 0, 1, delay + 1)
    assert list(layer.parameters()) == []


def test_a_declared_delay_changes_no_number():
    x = torch.randn(1, 9, 4)
    assert_same(FIR(4, 5, init="lowpass", delay=2)(x), FIR(4, 5, init="lowpass")(x))
    assert FIR(4, 5, delay=2).delay == 2
    assert not torch.equal(Residual(FIR(4, 5, delay=2))(x), Residual(FIR(4, 5))(x))


def test_taps_of_another_layer_are_copied():
    other = FIR(4, 3)
    layer = FIR(4, 3, init=other.weight)
    assert [name for name, _ in layer.named_parameters()] == ["weight"]
    with torch.no_grad():
        other.weight.zero_()
    layer.reset_parameters()
    assert layer.weight.abs().sum() > 0


@pytest.mark.parametrize("build", [FIR, Multirate])
@pytest.mark.parametrize("time", [8, 9])
def test_what_follows_may_change_the_output_in_place(build, time):
    layer, x = build(8), torch.randn(2, time, 8)
    gradients = []
    for inplace in (True, False):
        signal = x.clone().requires_grad_()
        nn.Sequential(layer, nn.ReLU(inplace))(signal).square().sum().backward()
        gradients.append([signal.grad, *(parameter.grad.clone() for parameter in layer.parameters())])
        layer.zero_grad()
    for one, other in zip(*gradients, strict=True):
        assert_same(one, other)


def test_refuses_the_state_of_another_filter():
    x = torch.randn(1, 5, 4)
    _, state = FIR(4, 3).step(x)
    with pytest.raises(ValueError, match=r"history of shape \(1, 5, 4\), got \(1, 2, 4\)"):
        FIR(4, 6).step(x, state)


def test_a_state_does_not_hold_the_chunk():
    _, state = FIR(4, 3).step(torch.randn(1, 1000, 4))
    assert state.memory.untyped_storage().nbytes() == state.memory.numel() * 4

"""Chain, Parallel, Residual: what they compute and what they say of themselves."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dsptorch import FIR, Blend, Chain, Delay, LFORouting, Multirate, Parallel, Pointwise, Residual
from tests.layers.table import WIDTH, signal
from tests.tolerances import assert_close, assert_same


def late(x, by):
    return F.pad(x, (0, 0, by, 0))[:, : x.shape[1]]


def taps(kernel_size, delay=0, seed=0, causal=True):
    generator = torch.Generator().manual_seed(seed)
    init = torch.randn(kernel_size, WIDTH, dtype=torch.float64, generator=generator)
    return FIR(WIDTH, kernel_size, init=init, delay=delay, causal=causal, dtype=torch.float64)


def test_chain_applies_first_to_last():
    square, f = Pointwise(Square(), WIDTH), taps(3)
    x = signal()
    assert_same(Chain(f, square)(x), f(x) ** 2)
    assert_same(Chain(square, f)(x), f(x**2))
    assert not torch.allclose(Chain(f, square)(x), Chain(square, f)(x))


class Square(nn.Module):
    def forward(self, x):
        return x * x


def test_chain_adds_up():
    chain = Chain(taps(3, delay=1), taps(4, causal=False), Delay(WIDTH, 2), Multirate(WIDTH, 3))
    assert chain.delay == 1 + 0 + 2 + 0
    assert chain.lookahead == 2
    assert chain.period == 3
    assert chain.receptive_field == 3 + 4 + 3 + Multirate(WIDTH, 3).receptive_field - 3
    assert Chain(Multirate(WIDTH, 2), Multirate(WIDTH, 3)).period == 6
    assert Chain(Multirate(WIDTH, 2), LFORouting(WIDTH)).period is None


def check_parallel(layer, branches):
    x = signal()
    slowest = max(branch.delay for branch in branches)
    assert layer.delay == slowest
    assert_close(layer(x), sum(late(branch(x), slowest - branch.delay) for branch in branches))


def test_parallel_delays_the_quicker_branches():
    branches = taps(3, delay=1), taps(5, delay=2, seed=1), Delay(WIDTH, 0)
    check_parallel(Parallel(*branches), branches)
    with pytest.raises(AssertionError):  # nothing aligned
        check_parallel(Parallel(taps(3), taps(5, seed=1), Delay(WIDTH, 0)), branches)


def test_parallel_says_what_it_sees():
    layer = Parallel(taps(3, causal=False), taps(6), Multirate(WIDTH, 2))
    assert layer.lookahead == 1
    assert layer.receptive_field == 11 + 1
    assert layer.period == 2
    assert Parallel(taps(3), LFORouting(WIDTH)).period is None


def test_parallel_of_one_layer_twice_is_twice_the_layer():
    f = taps(3)
    assert_close(Parallel(f, f)(signal()), 2 * f(signal()))


@pytest.mark.parametrize("delay", [0, 2])
def test_residual_adds_the_input_as_late_as_the_layer(delay):
    f, x = taps(5, delay=delay), signal()
    assert_close(Residual(f)(x), late(x, delay) + f(x))
    if delay:
        assert not torch.allclose(Residual(f)(x), x + f(x))
    assert Residual(f).delay == delay


def test_combinators_nest():
    inner = Residual(Chain(taps(3, delay=1), Pointwise(nn.GELU(), WIDTH)))
    layer = Chain(inner, Parallel(taps(2, seed=2), Blend(taps(4, seed=3))))
    x, outputs, state = signal(), [], None
    for chunk in x.split([3, 0, 1, 10, 5], 1):
        y, state = layer.step(chunk, state)
        outputs.append(y)
    assert_close(torch.cat(outputs, 1), layer(x))
    assert layer.delay == 1

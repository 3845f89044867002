"""Blend: the exact identity at first, a mixture when its gain has moved."""

import functools

import pytest
import torch

import dsptorch
from dsptorch import FIR, Blend, LFORouting, Multirate
from tests.layers.table import WIDTH
from tests.tolerances import assert_close, assert_same


def check_starts_as_identity(layer):
    x = torch.randn(3, 40, WIDTH) * torch.logspace(-6, 6, WIDTH)
    assert_same(layer(x).detach(), x)
    layer(x).sum().backward()
    assert layer.gain.grad.abs().item() > 0


@pytest.mark.parametrize("layer", [Multirate(WIDTH), LFORouting(WIDTH), FIR(WIDTH, 3, init="lowpass")])
def test_blend_starts_as_the_identity_and_can_leave_it(layer):
    check_starts_as_identity(Blend(layer))
    opened = Blend(layer)
    opened.gain.data.fill_(1)
    x = torch.randn(1, 9, WIDTH)
    assert_close(opened(x), layer(x))
    opened.gain.data.fill_(-0.5)
    assert_close(opened(x), 1.5 * x - 0.5 * layer(x))
    with pytest.raises(AssertionError):
        check_starts_as_identity(opened)


def test_blend_of_a_silent_layer_has_a_gradient():
    """One factor is zero, not two."""
    check_starts_as_identity(Blend(FIR(WIDTH, 2, init=torch.zeros(2, WIDTH))))


def check_closed(blend, x, transform=lambda function: function):
    """With gain 0 the input passes whatever the layer makes of it, and the gain has a finite gradient."""
    with torch.no_grad():
        assert_same(transform(blend)(x), x)
    y = transform(blend)(x)
    assert_same(y.detach(), x)
    y.float().nan_to_num(0.0, 0.0, 0.0).mean().backward()
    assert blend.gain.grad.isfinite().all()
    assert blend.gain.grad.ne(0).all()


def overflowing():
    """In float16 the layer's sums overflow."""
    x = torch.full((1, 9, WIDTH), 6e4, dtype=torch.float16)
    return Blend(FIR(WIDTH, 2, init=torch.full((2, WIDTH), 0.8))).half(), x


def infinite():
    x = torch.randn(1, 9, WIDTH)
    x[0, 3, 2], x[0, 5, 1] = torch.inf, torch.nan
    return Blend(LFORouting(WIDTH, 1)), x


class WithoutAGuard(Blend):
    def process(self, x, memory, timeline):
        y, memory = self.layer.process(x, memory, timeline)
        return torch.addcmul(x, self.gain.to(x.dtype), y - x), memory


@pytest.mark.parametrize("case", [overflowing, infinite])
def test_what_overflows_behind_a_closed_gain_changes_nothing(case):
    blend, x = case()
    check_closed(blend, x)
    compiled = functools.partial(torch.compile, backend="aot_eager", fullgraph=True)
    check_closed(blend, x, compiled)
    folded = dsptorch.fold(blend)
    with torch.no_grad():
        assert_same(folded(x), x)
    blend.__class__ = WithoutAGuard
    with pytest.raises(AssertionError):
        check_closed(blend, x)


def test_an_open_gain_hides_no_overflow():
    blend, x = overflowing()
    blend.gain.data.fill_(0.5)
    for function in (blend, torch.compile(blend, backend="aot_eager", fullgraph=True)):
        assert function(x)[0, 1:].isinf().all()

"""Hyperparameters stay in their bounds, and learn."""

import math

import pytest
import torch
from hypothesis import strategies as st
from torch import nn

from dsptorch import BoundedHyperparam, Multirate
from dsptorch.hyperparams import check_hyperparam
from tests.strategies import fails, holds
from tests.tolerances import assert_close, assert_same


@st.composite
def intervals(draw):
    """(low, high, log)."""
    log = draw(st.booleans())
    bound = st.floats(2.0**-20, 2.0**20, width=32) if log else st.floats(-(2.0**20), 2.0**20, width=32)
    low, high = sorted(draw(st.tuples(bound, bound).filter(lambda b: b[0] != b[1])))
    return low, high, log


RAW = st.one_of(st.floats(-40, 40), st.sampled_from([-math.inf, -1e30, 1e30, math.inf]))


def check_bounds(value_of, interval, raw):
    low, high, log = interval
    h = BoundedHyperparam(low, low, high, log=log)
    h.raw.data.fill_(raw)
    value = value_of(h).double()
    assert (low <= value).all()
    assert (value <= high).all()


def test_no_raw_value_leaves_the_interval():
    holds(lambda interval, raw: check_bounds(lambda h: h(), interval, raw), intervals(), RAW, times=2)


def test_the_usual_formula_leaves_it():
    def usual(h):
        low, high = (math.log(h.low), math.log(h.high)) if h.log else (h.low, h.high)
        value = torch.sigmoid(h.raw) * (high - low) + low
        return value.exp() if h.log else value

    fails(lambda interval, raw: check_bounds(usual, interval, raw), intervals(), RAW)


def check_round_trip(interval, unit, shift=0.0):
    """A value at a share of the interval, on its scale, is there."""
    low, high, log = interval

    def share_of(value):
        return math.log(value / low) / math.log(high / low) if log else (value - low) / (high - low)

    init = low * (high / low) ** unit if log else low + unit * (high - low)
    init = min(max(init, low), high)
    h = BoundedHyperparam(init, low, high, log=log, dtype=torch.float64)
    assert abs(share_of(h.value.item()) - min(max(share_of(init) + shift, 0.0), 1.0)) < 1e-6
    assert h.raw.isfinite().all()


def test_starts_where_it_is_told():
    unit = st.floats(0.02, 0.98)
    holds(check_round_trip, intervals(), unit)
    fails(lambda interval, unit: check_round_trip(interval, unit, 0.001), intervals(), unit)


@pytest.mark.parametrize(
    ("init", "log", "value"), [(1, False, 2), (101, False, 100), (1, True, 101**0.01), (101, True, 101**0.99)]
)
def test_an_init_on_a_bound_is_a_little_inside_and_learns(init, log, value):
    h = BoundedHyperparam(init, 1, 101, log=log)
    assert h.value.item() == pytest.approx(value, rel=1e-4)
    h().sum().backward()
    assert h.raw.grad.abs().item() > 0


def test_value_has_no_gradient_and_the_call_has():
    h = BoundedHyperparam(0.4, 0.2, 0.6)
    assert not h.value.requires_grad
    assert h().requires_grad
    raw = torch.randn(3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda raw: torch.func.functional_call(h, {"raw": raw}, ()), (raw,))
    h.value.zero_()
    assert h.value.item() == pytest.approx(0.4)


def test_shapes():
    assert BoundedHyperparam(0.5, 0.0, 1.0).raw.shape == (1,)
    assert BoundedHyperparam(torch.tensor(0.5), 0.0, 1.0).raw.shape == (1,)
    filled = BoundedHyperparam(0.5, 0.0, 1.0, shape=(2, 3))
    assert_close(filled.value, torch.full((2, 3), 0.5))
    init = torch.tensor([[0.1, 0.9], [0.5, 0.3]])
    assert_close(BoundedHyperparam(init, 0.0, 1.0).value, init)
    filled.raw.data[0, 0] = 1
    assert filled.value[0, 0] != filled.value[0, 1]


def test_set():
    h = BoundedHyperparam(0.5, 0.0, 1.0, shape=(2,))
    h.set_(0.25)
    assert_close(h.value, torch.tensor([0.25, 0.25]))
    h.set_(torch.tensor([0.1, 0.9]))
    assert_close(h.value, torch.tensor([0.1, 0.9]))
    before = h.raw.clone()
    for bad in (1.5, -0.1, math.nan, torch.tensor([0.5, 2.0])):
        with pytest.raises(ValueError, match=r"\[0\.0, 1\.0\], got"):
            h.set_(bad)
    assert_same(h.raw, before)
    assert h.raw.requires_grad


def test_prints_its_value_and_never_raw():
    assert repr(BoundedHyperparam(3.0, 1.0, 9.0, log=True)) == "BoundedHyperparam(3, low=1, high=9, log=True)"
    assert "mean 0.5, shape=(2, 2)" in repr(BoundedHyperparam(0.5, 0.0, 1.0, shape=(2, 2)))
    assert "?" in repr(BoundedHyperparam(0.5, 0.0, 1.0, device="meta"))


@pytest.mark.parametrize("cast", ["half", "bfloat16", "float"])
def test_no_cast_makes_it_coarse(cast):
    h = BoundedHyperparam(0.4, 0.2, 0.6)
    raw = h.raw.detach().clone()
    assert_same(getattr(nn.ModuleList([h]), cast)()[0].raw.detach(), raw)
    assert h.double().raw.dtype == torch.float64
    assert h.half().raw.dtype == torch.float64


def test_check_hyperparam_returns_it():
    assert check_hyperparam("m", 1, 0.0, 1.0) == 1.0
    h = BoundedHyperparam(0.5, 0.1, 0.9)
    assert check_hyperparam("m", h, 0.0, 1.0) is h


def test_freezes_and_thaws():
    h = BoundedHyperparam(0.4, 0.2, 0.6)
    layer = Multirate(4, mix_ratio=h)
    assert h.freeze() is h
    layer(torch.randn(1, 5, 4)).sum().backward()
    assert h.raw.grad is None
    assert layer.detail_strength.raw.grad is not None
    layer.requires_grad_(True)
    layer(torch.randn(1, 5, 4)).sum().backward()
    assert h.raw.grad is not None


def check_saturation(saturation_of, raw):
    h = BoundedHyperparam(0.5, 0.0, 1.0, dtype=torch.float64)
    h.raw.data.fill_(raw)
    found = saturation_of(h)
    gradient = torch.autograd.grad(h().sum(), h.raw)[0]  # that of the sigmoid, 1/4 in the middle
    assert not found.requires_grad
    assert found.item() == pytest.approx(1 - 4 * gradient.item(), abs=1e-12)
    assert 0 <= found.item() <= 1


def test_saturation_is_what_the_gradient_has_lost():
    raw = st.floats(-100, 100)
    holds(lambda raw: check_saturation(lambda h: h.saturation(), raw), raw)
    fails(lambda raw: check_saturation(lambda h: torch.tanh(h.raw / 2).abs().detach(), raw), raw)
    assert BoundedHyperparam(0.5, 0.0, 1.0, shape=(2, 3)).saturation().shape == (2, 3)
    assert BoundedHyperparam(2, 1, 8, integer=True).harden().saturation().item() < 1
    assert BoundedHyperparam(1, 1, 8, integer=True).harden().saturation().item() == 1

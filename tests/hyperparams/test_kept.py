"""Without gradients the value is computed once, and again when `raw` or a bound has changed, however."""

import copy

import pytest
import torch
from torch import nn

from dsptorch import BoundedHyperparam
from tests.tolerances import assert_close, assert_same


def hyperparam(init=0.3):
    return BoundedHyperparam(init, 0.0, 1.0)


def value_of(h):
    with torch.no_grad():
        return h()


def copied(h):
    with torch.no_grad():
        h.raw.copy_(torch.tensor([1.0]))


def stepped(optimizer, h):
    """A step of torch's fused implementation."""
    h.raw.grad = torch.ones_like(h.raw)
    optimizer(h.parameters(), lr=0.1, fused=True).step()


CHANGES = {
    "data": lambda h: h.raw.data.fill_(1.0),
    "numpy": lambda h: h.raw.detach().numpy().fill(1.0),
    "copy_": copied,
    "set_": lambda h: h.set_(0.9),
    "reset_parameters": lambda h: h.reset_parameters(),
    "load_state_dict": lambda h: h.load_state_dict(hyperparam(0.9).state_dict()),
    "assign": lambda h: h.load_state_dict(hyperparam(0.9).state_dict(), assign=True),
    "another parameter": lambda h: setattr(h, "raw", nn.Parameter(torch.tensor([1.0]))),
    "fused SGD": lambda h: stepped(torch.optim.SGD, h),
    "fused AdamW": lambda h: stepped(torch.optim.AdamW, h),
    "double": lambda h: h.double(),
    "bound": lambda h: setattr(h, "high", 2.0),
}


def check_seen(change):
    h = hyperparam()
    h.raw.data += 0.1  # so that a reset is a change
    before = value_of(h).clone()
    assert_same(value_of(h), before)
    change(h)
    found = value_of(h)
    assert found.dtype == h.raw.dtype
    assert found.dtype != before.dtype or not torch.equal(found, before)
    assert_close(found, h.low + (h.high - h.low) * torch.sigmoid(h.raw.detach()))
    assert_same(found, h().detach())


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen(change):
    check_seen(CHANGES[change])


@pytest.mark.parametrize("change", CHANGES)
def test_an_old_value_is_caught(change, monkeypatch):
    monkeypatch.setattr("dsptorch.functional.memo._equal", lambda weight, kept: True)
    with pytest.raises(AssertionError):
        check_seen(CHANGES[change])


def test_half_precision_changes_nothing():
    h = hyperparam()
    before = value_of(h).clone()
    assert_same(value_of(h.half()), before)


def test_a_copy_keeps_its_own():
    h = hyperparam()
    before = value_of(h).clone()
    other = copy.deepcopy(h)
    other.set_(0.9)
    assert_same(value_of(h), before)
    assert_same(value_of(other), other.value)


def test_other_tensors_in_its_place_are_seen():
    h, raws = hyperparam(), torch.tensor([[1.0], [2.0]])
    value_of(h)

    def called(raw):
        return torch.func.functional_call(h, {"raw": raw}, ())

    with torch.no_grad():
        assert_close(torch.stack([called(raw) for raw in raws]), raws.sigmoid())
        assert_close(torch.vmap(called)(raws), raws.sigmoid())


def test_a_value_may_be_changed_in_place():
    h = BoundedHyperparam(0.3, 0.0, 1.0)
    with torch.no_grad():
        h().mul_(2)
        h().mul_(2)
        assert torch.equal(h(), h.value)


def test_a_value_of_inference_mode_stays_there():
    h = BoundedHyperparam(0.3, 0.0, 1.0)
    with torch.inference_mode():
        h()
    with torch.no_grad():
        value = h()
    (value * torch.ones(1, requires_grad=True)).sum().backward()

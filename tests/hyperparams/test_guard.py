"""A hyperparameter that is guarded survives gradients that are not finite."""

import copy

import pytest
import torch

from dsptorch import BoundedHyperparam, Multirate
from dsptorch.hyperparams import guard_gradients, named_hyperparams
from tests.tolerances import assert_same

BAD = [torch.inf, -torch.inf, torch.nan]
OPTIMIZERS = {
    "SGD": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "AdamW": lambda p: torch.optim.AdamW(p, lr=0.1),
    "fused AdamW": lambda p: torch.optim.AdamW(p, lr=0.1, fused=True),
}


def check_survives(h, optimizer, bad):
    for factor in (1.0, *bad, 1.0, -1.0):
        optimizer.zero_grad()
        (h() * factor).sum().backward()
        optimizer.step()
    assert h.raw.isfinite().all()


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_bad_gradients(make):
    h = BoundedHyperparam(0.3, 0.2, 0.6)
    (handle,) = guard_gradients(h)
    check_survives(h, make(h.parameters()), BAD)
    handle.remove()
    with pytest.raises(AssertionError):
        check_survives(h, make(h.parameters()), BAD)


def test_good_gradients_are_as_they_were():
    layer, x = Multirate(4), torch.randn(2, 9, 4)
    plain = copy.deepcopy(layer)
    assert len(guard_gradients(layer)) == len(list(named_hyperparams(layer))) == 2
    for model in (layer, plain):
        model(x).square().sum().backward()
    for mine, its in zip(layer.parameters(), plain.parameters(), strict=True):
        assert_same(mine.grad, its.grad)


def test_each_value_is_guarded_by_itself():
    h = BoundedHyperparam(0.5, 0.0, 1.0, shape=(2,))
    guard_gradients(h)
    (h() * torch.tensor([2.0, torch.nan])).sum().backward()
    assert_same(h.raw.grad, torch.tensor([0.5, 0.0]))


@pytest.mark.slow
def test_compiled_code_is_guarded():
    h = BoundedHyperparam(0.5, 0.0, 1.0)
    guard_gradients(h)
    compiled = torch.compile(h, backend="aot_eager")
    (compiled() * torch.inf).sum().backward()
    assert_same(h.raw.grad, torch.zeros(1))


def test_what_does_not_learn_is_left_out():
    assert guard_gradients(BoundedHyperparam(0.5, 0.0, 1.0).freeze()) == []

"""The outer optimizer is one Adam, whichever tensors stand in the hyperparameters."""

import copy

import pytest
import torch
from torch import nn

from dsptorch import BoundedHyperparam
from dsptorch.meta.optimizers import Outer


def gradients(step):
    return (
        {"a": torch.tensor([1.0 - step])}
        if step % 3
        else {"a": torch.tensor([2.0]), "b": torch.tensor([0.5])}
    )


def moved(replace):
    """The raw values after some steps; `replace` is called with the module of the hyperparameters between them."""
    h = nn.ModuleDict({"a": BoundedHyperparam(0.4, 0, 1), "b": BoundedHyperparam(0.3, 0, 1)})
    outer = Outer(h, lr=0.1, decay=0.9)
    for step in range(7):
        outer.move(gradients(step))
        replace(h)
    return [hyperparam.raw.item() for hyperparam in h.values()], outer.state_dict()["adam"]


def assign(h):
    h.load_state_dict(copy.deepcopy(h.state_dict()), assign=True)


def test_its_memory_follows_raw_values_that_are_replaced():
    (expected, memory), (values, kept) = moved(lambda _: None), moved(assign)
    assert values == expected
    assert memory == kept
    assert memory["a"]["step"] == 7
    assert memory["b"]["step"] == 3


def test_it_is_torchs_adam():
    raw = nn.Parameter(BoundedHyperparam(0.4, 0, 1).raw.detach().clone())
    adam = torch.optim.Adam([raw], lr=0.1, betas=(0.9, 0.999))
    for step in range(7):
        raw.grad = gradients(step)["a"]
        adam.step()
    assert moved(lambda _: None)[0][0] == pytest.approx(raw.item(), rel=1e-6)


def test_nothing_to_move_moves_nothing():
    h = {"a": BoundedHyperparam(0.4, 0, 1)}
    outer = Outer(h, lr=0.1, decay=0.9)
    outer.move({})
    assert outer.state_dict()["adam"] == {}
    assert h["a"].value.item() == pytest.approx(0.4)

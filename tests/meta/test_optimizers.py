"""The outer optimizer is one Adam, whichever tensors stand in the hyperparameters."""

import copy

import pytest
import torch
from torch import nn

from dsptorch import BoundedHyperparam
from dsptorch.meta.optimizers import Outer


def gradients(step):
    """Of b at every third step only."""
    both = {"a": torch.tensor([2.0]), "b": torch.tensor([0.5])}
    return {"a": torch.tensor([1.0 - step])} if step % 3 else both


def moved(replace=lambda h: None):
    """The raw values after seven steps, and Adam's memory; `replace` gets the hyperparameters between."""
    h = nn.ModuleDict({"a": BoundedHyperparam(0.4, 0, 1), "b": BoundedHyperparam(0.3, 0, 1)})
    outer = Outer(h, lr=0.1, decay=0.9)
    outer.move({})  # moves nothing
    for step in range(7):
        outer.move(gradients(step))
        replace(h)
    return [hyperparam.raw.item() for hyperparam in h.values()], outer.state_dict()["adam"]


def test_its_memory_follows_raw_values_that_are_replaced():
    values, memory = moved(lambda h: h.load_state_dict(copy.deepcopy(h.state_dict()), assign=True))
    assert (values, memory) == moved()
    assert (memory["a"]["step"], memory["b"]["step"]) == (7, 3)


def test_it_is_torchs_adam():
    raw = nn.Parameter(BoundedHyperparam(0.4, 0, 1).raw.detach().clone())
    adam = torch.optim.Adam([raw], lr=0.1, betas=(0.9, 0.999))
    for step in range(7):
        raw.grad = gradients(step)["a"]
        adam.step()
    assert moved()[0][0] == pytest.approx(raw.item(), rel=1e-6)

"""What a block changes in a model or in a random generator is restored, whatever it is and even if the block raises."""

import random
from contextlib import suppress

import numpy as np
import pytest
import torch
from torch import nn

from dsptorch.isolation import preserved, random_state_kept


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        self.register_buffer("seen", torch.zeros(2))
        self.rate, self.table, self.notes = 0.5, torch.zeros(2), [1]

    def snapshot(self):
        gradient = None if self.weight.grad is None else self.weight.grad.tolist()
        return {
            "modes": self.training,
            "buffers": self.seen.tolist(),
            "floats": self.rate,
            "attributes": (self.table.tolist(), list(self.notes), hasattr(self, "new")),
            "gradients": gradient,
        }

    def disturb(self):
        self.eval()
        self.seen.add_(1)
        self.rate, self.new = 0.1, 3
        self.table.add_(1)
        self.notes.append(2)
        self.weight.square().sum().backward()


KINDS = ["modes", "buffers", "floats", "attributes", "gradients"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("raises", [False, True])
def test_restores_what_it_was_asked_to(kind, raises):
    model = Model()
    before = model.snapshot()
    with suppress(KeyError), preserved(model, **{name: name == kind for name in KINDS}):
        model.disturb()
        if raises:
            raise KeyError
    after = model.snapshot()
    assert after[kind] == before[kind]
    others = set(KINDS) - {
        kind,
        *(["modes", "floats"] if kind == "attributes" else []),
    }  # which are attributes too
    assert not any(after[name] == before[name] for name in others)


def test_a_buffer_that_was_assigned_is_the_same_tensor_again():
    model = Model()
    seen = model.seen
    with preserved(model):
        model.seen = torch.ones(2)
        model.register_buffer("more", torch.ones(1))
    assert model.seen is seen
    assert list(dict(model.named_buffers())) == ["seen"]


def test_there_is_no_gradient_inside():
    model = Model()
    mine = model.weight.grad = torch.ones(2)
    with preserved(model, gradients=True):
        assert model.weight.grad is None
    assert model.weight.grad is mine


def test_a_seed_makes_the_same_numbers_and_leaves_the_generator():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    drawn = []
    for _ in range(2):
        with preserved(None, seed=5):
            drawn.append(torch.rand(2))
    assert torch.equal(*drawn)
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize("everywhere", [False, True])
def test_numpy_and_python_only_if_asked(everywhere):
    def draw():
        return random.random(), np.random.rand()  # noqa: NPY002

    with random_state_kept(everywhere=everywhere):
        first = draw()
    assert (draw() == first) is everywhere

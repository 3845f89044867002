"""The copy with other parameters: it moves what training moves, and nothing else, and it works."""

import copy

import pytest
import torch
from torch import nn

from dsptorch.testing import assert_causal
from dsptorch.testing._engine.jitter import jittered
from tests.testing.test_causality import SIGNAL


def test_moves_what_training_moves():
    model = nn.Sequential(nn.Linear(64, 32), nn.LayerNorm(32), nn.Embedding(5, 32, padding_idx=0))
    nn.init.zeros_(model[0].weight)
    model[1].weight.requires_grad_(False)
    model[0].register_buffer("mask", torch.zeros(3))
    before = copy.deepcopy(model)
    other = jittered(model)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), before.parameters(), strict=True))
    assert torch.equal(other[1].weight, model[1].weight)
    assert not other[0].mask.any()
    size = other[0].weight.abs()
    assert 0.5 / 8 <= size.min() < size.max() <= 1 / 8
    assert (other[0].weight > 0).float().mean() == pytest.approx(0.5, abs=0.05)
    assert 0.05 <= other[1].bias.abs().min() <= other[1].bias.abs().max() <= 0.1
    ratio = other[2].weight[1:] / model[2].weight[1:]
    assert 0.03 < (ratio - 1).abs().median() < 0.12
    assert torch.equal(jittered(model)[0].weight, other[0].weight)


def test_a_closed_parameter_keeps_its_sign():
    model = nn.Linear(16, 16)
    signs = model.weight.data.sign()
    model.weight.data = 1e-6 * signs
    other = jittered(model)
    assert torch.equal(other.weight.sign(), signs)
    assert other.weight.abs().min() >= 0.5 / 4


def test_entries_without_a_gradient_stay():
    model, mask = nn.Linear(8, 8), torch.eye(8)
    nn.init.zeros_(model.weight)
    model.weight.register_hook(lambda gradient: gradient * mask)
    model.bias.register_hook(lambda gradient: gradient[99])  # fits no gradient of ours
    other = jittered(model)
    assert torch.equal(other.weight != 0, mask.bool())
    assert (other.bias != model.bias).all()
    assert model.weight.grad is None


def test_tries_until_a_copy_works():
    model = nn.Linear(4, 4)
    nn.init.zeros_(model.weight)
    for sign in (1, -1):
        other = jittered(model, accepts=lambda copied, sign=sign: bool((sign * copied.weight >= 0).all()))
        assert (sign * other.weight > 0.2).all()
    with pytest.warns(
        UserWarning, match=r"takes other parameters, got Linear.*Pass jitter=False if they never"
    ):
        assert jittered(model, accepts=lambda copied: False) is None


def test_what_cannot_be_copied_is_said():
    model = nn.Linear(4, 4)
    model.lock = (i for i in ())
    with pytest.warns(UserWarning, match=r"copy.deepcopy can copy, got Linear.*pass jitter=False"):
        assert_causal(model, SIGNAL)
    assert_causal(model, SIGNAL, jitter=False)


def test_the_message_says_what_to_do_where_parameters_never_move():
    class Closed(nn.Module):
        def __init__(self):
            super().__init__()
            self.gain = nn.Parameter(torch.zeros(()))

        def forward(self, x):
            return x + self.gain * x.flip(1)

    with pytest.raises(AssertionError, match=r"a mask follows each step, pass jitter=False$"):
        assert_causal(Closed(), SIGNAL)

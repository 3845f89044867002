"""Learning rates, momenta and decays: derivatives through the rules are those of torch's own optimizers."""

import copy

import pytest
import torch
from torch import nn

from dsptorch import BoundedHyperparam
from dsptorch.meta import AdamRule, SGDRule, Unroll
from tests.meta.models import Forgetful, after_update, check_near, hypergradients
from tests.meta.nets import BETAS, DECAY, LOSSES, OPTIMIZERS, TINY, optimizer_of, started, train


def real_loss(net, optimizer, name, steps, lr):
    """The validation loss after steps of the real optimizer with this learning rate, on copies."""
    net, memory = copy.deepcopy(net), copy.deepcopy(optimizer.state_dict())
    optimizer = optimizer_of(net, name)
    optimizer.load_state_dict(memory)
    for group in optimizer.param_groups:
        group["lr"] = lr
    train(net, optimizer, steps)
    return net.val_loss().item()


def check_against_real_training(name, before, steps, tolerance, make=None):
    """The loss is that of torch's own optimizer, and its derivative that of central differences."""
    net, optimizer = started(name, before)
    rule = (make or OPTIMIZERS[name][0])(net.rate)
    record = after_update(Unroll(rule, steps), net, optimizer=optimizer, **LOSSES).history[-1]
    check_near(record["loss"], real_loss(net, optimizer, name, steps, net.rate.value.item()), 1e-12)
    shifted = copy.deepcopy(net.rate)
    values = []
    for shift in (1e-4, -1e-4):
        shifted.raw.data = net.rate.raw.data + shift
        values.append(real_loss(net, optimizer, name, steps, shifted.value.item()))
    check_near(record["hypergradient"]["rate"], (values[0] - values[1]) / 2e-4, tolerance)


@pytest.mark.parametrize("before", [0, 5], ids="after {} steps".format)
@pytest.mark.parametrize("steps", [1, 6], ids="{} steps".format)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_learning_rates_have_the_derivative_of_real_training(name, before, steps):
    check_against_real_training(name, before, steps, 1e-6)


class Uphill(SGDRule):
    """The derivative by the learning rate has the other sign, and the steps are right."""

    def step(self, weights, gradients, state, decayed):
        moved, after = super().step(weights, gradients, state, decayed)
        return {name: 2 * w.detach() - w for name, w in moved.items()}, after


class FixedGradients(SGDRule):
    """What a step does to the later gradients is cut off."""

    def step(self, weights, gradients, state, decayed):
        return super().step(weights, {n: g.detach() for n, g in gradients.items()}, state, decayed)


class ForgetfulAdam(AdamRule):
    """What a step does to the averages is cut off."""

    def step(self, weights, gradients, state, decayed):
        cut = {name: {k: v.detach() for k, v in memory.items()} for name, memory in state.items()}
        return super().step(weights, gradients, cut, decayed)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("sgd", lambda lr: Forgetful(lr, weight_decay=DECAY)),
        ("sgd", lambda lr: Uphill(lr, weight_decay=DECAY)),
        ("momentum", lambda lr: FixedGradients(lr, 0.9, DECAY)),
        ("adam", lambda lr: ForgetfulAdam(lr, BETAS, TINY, DECAY)),
    ],
)
def test_wrong_derivatives_are_caught(name, make):
    with pytest.raises(AssertionError):
        check_against_real_training(name, 5, 6, 1e-3, make)


RATES = {"lr": (0.05, 0.01, 1.0), "weight_decay": (0.2, 0.0, 1.0), "momentum": (0.6, 0.0, 0.99)}


def check_every_rate(make, *names):
    """Each of the hyperparameters of a rule has the gradient of central differences of the rule itself."""
    rates = {name: BoundedHyperparam(*RATES[name], dtype=torch.float64) for name in names}
    net, _ = started("sgd", 0)
    net.rate.freeze()
    estimator = Unroll(make(**rates), 4)
    found = hypergradients(estimator, net, outside=rates, **LOSSES)
    assert set(found) == set(rates)
    for name, hyperparam in rates.items():
        losses = []
        for shift in (1e-4, -2e-4):
            hyperparam.raw.data += shift
            losses.append(after_update(estimator, net, outside=rates, **LOSSES).history[-1]["loss"])
        hyperparam.raw.data += 1e-4
        check_near(found[name], (losses[0] - losses[1]) / 2e-4, 1e-6)


def test_every_rate_of_a_rule_is_learned():
    check_every_rate(SGDRule, *RATES)
    check_every_rate(AdamRule, "lr", "weight_decay")
    with pytest.raises(ValueError, match="no path to weight_decay"):
        check_every_rate(lambda lr, weight_decay: SGDRule(lr), "lr", "weight_decay")


# Weights whose gradient is 0


class Unfed(nn.Module):
    """A weight whose input is always 0, so that its gradient is."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))
        self.rate = BoundedHyperparam(0.1, 0.01, 1.0)

    def forward(self):
        return (self.weight * torch.tensor([1.0, 2.0, 0.0])).square().sum()


class EpsOutside(AdamRule):
    """As in `torch.optim.AdamW`."""

    def step(self, weights, gradients, state, decayed):
        after = super().step(weights, gradients, state, decayed)[1]
        moved = {
            name: w - self.lr() * after[name]["exp_avg"] / (after[name]["exp_avg_sq"].sqrt() + self.eps)
            for name, w in weights.items()
        }
        return moved, after


def check_finite(kind):
    model = Unfed()
    record = after_update(Unroll(kind(model.rate), 3), model, train_loss=lambda m: m()).history[-1]
    assert record["hypergradient"]["rate"] < 0


def test_a_weight_without_a_gradient_leaves_adams_derivative_finite():
    check_finite(AdamRule)
    with pytest.warns(UserWarning, match="skipped"), pytest.raises(IndexError):
        check_finite(EpsOutside)

"""A noisy quadratic: the learning rate that pays after T steps is too small for small T.

    gradient = h (w - c),  c ~ N(0, 1),      E L = 1/2 sum of h E w^2

The moments of w have a closed form, and with them the best rate for T steps; Wu et al., Understanding Short-Horizon
Bias in Stochastic Meta-Optimization, ICLR 2018, section 2.
"""

import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from dsptorch import BoundedHyperparam
from dsptorch.meta import SGDRule, Unroll
from tests.meta.models import hypergradient

CURVATURES = torch.tensor([1.0, 0.002], dtype=torch.float64)
START = torch.tensor(
    [0.0, 5000.0], dtype=torch.float64
).sqrt()  # the steep direction is done, the flat one far
LOW, HIGH = 1e-3, 1.9
HORIZONS = (1, 4, 16, 64)


def expected_loss(lr, steps):
    """A step multiplies w by 1 - lr h, and adds lr h c."""
    shrink = (1 - lr * CURVATURES).square()
    noise = (lr * CURVATURES).square() * (1 - shrink**steps) / (1 - shrink)
    return (CURVATURES * (shrink**steps * START.square() + noise)).sum() / 2


def best_rate(steps):
    rates = torch.logspace(math.log10(LOW), math.log10(HIGH), 2000, dtype=torch.float64)
    return min(rates.tolist(), key=lambda lr: expected_loss(lr, steps).item())


class Copies(nn.Module):
    """Many runs side by side, each with its own noise: a sum of losses gives each its own gradient."""

    def __init__(self, lr, count=16384):
        super().__init__()
        self.weight = nn.Parameter(START.repeat(count, 1))
        self.rate = BoundedHyperparam(lr, LOW, HIGH, log=True, dtype=torch.float64)

    def train_loss(self):
        noise = torch.randn(self.weight.shape, dtype=torch.float64)
        return (CURVATURES * (self.weight - noise).square()).sum() / 2

    def val_loss(self):
        return (CURVATURES * self.weight.square()).sum(-1).mean() / 2


def slope_at(lr, steps, rule=SGDRule):
    """The hypergradient of a rate."""
    model = Copies(lr)
    losses = {"train_loss": lambda m: m.train_loss(), "val_loss": lambda m: m.val_loss()}
    return hypergradient(Unroll(rule(model.rate), steps), model, **losses)


def preferred_rate(steps, rule=SGDRule):
    """Where the hypergradient of the rate is 0, by bisection."""
    low, high = math.log(LOW * 1.1), math.log(HIGH / 1.1)
    for _ in range(8):
        middle = (low + high) / 2
        low, high = (middle, high) if slope_at(math.exp(middle), steps, rule) < 0 else (low, middle)
    return math.exp((low + high) / 2)


def check_shrinking_bias(rates, long):
    """All are too small, each less so than the one before: by far at first, and by little in the end."""
    biases = [math.log(long / rate) for rate in rates]
    assert all(later < earlier for earlier, later in pairwise(biases)), biases
    assert biases[0] > math.log(20)
    assert 0 < biases[-1] < math.log(2)


class Greedy(SGDRule):
    """A planted bug: only the last step is differentiated."""

    def step(self, weights, gradients, state, decayed):
        return super().step({n: w.detach() for n, w in weights.items()}, gradients, state, decayed)


def test_the_bias_of_short_horizons_shrinks():
    preferred = [preferred_rate(steps) for steps in HORIZONS]
    for rate, steps in zip(preferred, HORIZONS, strict=True):
        assert abs(math.log(rate / best_rate(steps))) < 0.1
    check_shrinking_bias(preferred, best_rate(256))


def test_a_detached_unroll_keeps_its_bias():
    with pytest.raises(AssertionError):
        check_shrinking_bias([preferred_rate(steps, Greedy) for steps in HORIZONS], best_rate(256))

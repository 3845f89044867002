"""A noisy quadratic: the learning rate that pays after T steps is too small for small T, and Unroll says so.

    gradient = h (w - c),  c ~ N(0, 1),      E L = 1/2 sum of h E w^2

The moments of w have a closed form; Wu et al., Understanding Short-Horizon Bias in Stochastic Meta-Optimization,
ICLR 2018, section 2.
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

    def __init__(self, lr):
        super().__init__()
        self.weight = nn.Parameter(START.repeat(16384, 1))
        self.rate = BoundedHyperparam(lr, LOW, HIGH, log=True, dtype=torch.float64)

    def train_loss(self):
        noise = torch.randn(self.weight.shape, dtype=torch.float64)
        return (CURVATURES * (self.weight - noise).square()).sum() / 2

    def val_loss(self):
        return (CURVATURES * self.weight.square()).sum(-1).mean() / 2


def check_prefers(steps, rate, kind=SGDRule):
    """The hypergradient of the learning rate is below 0 left of its best value, and above 0 right of it."""
    losses = {"train_loss": lambda m: m.train_loss(), "val_loss": lambda m: m.val_loss()}
    for side in (1, -1):
        model = Copies(rate * 1.1**side)
        assert side * hypergradient(Unroll(kind(model.rate), steps), model, **losses) > 0


class Greedy(SGDRule):
    """A planted bug: only the last step is differentiated."""

    def step(self, weights, gradients, state, decayed):
        return super().step({n: w.detach() for n, w in weights.items()}, gradients, state, decayed)


def test_the_bias_of_short_horizons_shrinks():
    """All best rates are too small, each less so than the one before: by far at first, by little in the end."""
    biases = [math.log(best_rate(256) / best_rate(steps)) for steps in HORIZONS]
    assert all(later < earlier for earlier, later in pairwise(biases)), biases
    assert biases[0] > math.log(20)
    assert 0 < biases[-1] < math.log(2)


@pytest.mark.parametrize("steps", HORIZONS)
def test_unroll_prefers_the_best_rate_of_its_horizon(steps):
    check_prefers(steps, best_rate(steps))


def test_a_detached_unroll_keeps_its_bias():
    with pytest.raises(AssertionError):
        check_prefers(64, best_rate(64), Greedy)

"""A noisy quadratic, where the learning rate that pays after T steps is too small for small T.

    gradient = h (w - c),  c ~ N(0, 1),      E L = 1/2 sum of h E w^2

The moments of w have a closed form; Wu et al., Understanding Short-Horizon Bias in Stochastic
Meta-Optimization, ICLR 2018, section 2.
"""

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


def best_rate(steps):
    """A step multiplies w by 1 - lr h, and adds lr h c."""
    step = torch.logspace(-3, 0.27, 2000, dtype=torch.float64).unsqueeze(1) * CURVATURES
    shrink = (1 - step).square() ** steps
    moments = shrink * START.square() + step.square() * (1 - shrink) / (1 - (1 - step).square())
    return step[(CURVATURES * moments).sum(1).argmin(), 0].item()


class Copies(nn.Module):
    """Many runs side by side, each with its own noise: a sum of losses gives each its own gradient."""

    def __init__(self, rate):
        super().__init__()
        self.weight = nn.Parameter(START.repeat(16384, 1))
        self.rate = BoundedHyperparam(rate, 1e-3, 1.9, log=True, dtype=torch.float64)

    def train_loss(self):
        return (CURVATURES * (self.weight - torch.randn_like(self.weight)).square()).sum() / 2

    def val_loss(self):
        return (CURVATURES * self.weight.square()).sum(-1).mean() / 2


def prefers_less(rate, steps):
    """Whether the hypergradient of a learning rate is above 0."""
    model = Copies(rate)
    losses = {"train_loss": lambda m: m.train_loss(), "val_loss": lambda m: m.val_loss()}
    return hypergradient(Unroll(SGDRule(model.rate), steps), model, **losses) > 0


@pytest.mark.parametrize(("steps", "longer"), [(1, 4), (4, 16), (16, 64), (64, 256)])
def test_a_shorter_horizon_prefers_a_smaller_learning_rate(steps, longer):
    assert prefers_less(best_rate(longer), steps)
    assert prefers_less(1.1 * best_rate(steps), steps)
    assert not prefers_less(best_rate(steps) / 1.1, steps)

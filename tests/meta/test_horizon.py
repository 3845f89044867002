"""The evolution strategy where nothing else works: what acts on training alone, and what has no gradient."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from dsptorch import BoundedHyperparam
from dsptorch.meta import EvolutionStrategy, MetaController, SGDRule
from tests.meta.models import Bowl, check_near, hypergradients

SIGMA = 0.3


def check_learning_rate(steps, off=0):
    """Against Gauss-Hermite quadrature of the smoothed loss of a learning rate."""
    rate, pairs = BoundedHyperparam(0.3, 0.0, 1.0, dtype=torch.float64), 150
    estimator = EvolutionStrategy(SGDRule(rate), horizon=steps, sigma=SIGMA, pairs=pairs)
    found = hypergradients(estimator, Bowl(), outside={"lr": rate}, train_loss=lambda m: m())["lr"]
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    rates = [1 / (1 + np.exp(-rate.raw.item() - side * SIGMA * nodes)) for side in (1, -1)]
    ends = [(1 - rate) ** (steps + off) for rate in rates]
    slopes = (ends[0] ** 2 - ends[1] ** 2) / 2 / (2 * SIGMA) * nodes
    mean, square = ((weights * values).sum() / weights.sum() for values in (slopes, slopes**2))
    assert abs(found - mean) < 4 * math.sqrt((square - mean**2) / pairs)


@pytest.mark.parametrize("steps", [1, 5])
def test_a_horizon_sees_a_learning_rate(steps):
    check_learning_rate(steps)
    with pytest.raises(AssertionError):
        check_learning_rate(steps, off=4)


def test_a_horizon_tunes_a_learning_rate():
    """To 1, where one step of this training arrives; its interval goes further."""
    rate = BoundedHyperparam(0.2, 0.0, 1.6)
    estimator = EvolutionStrategy(SGDRule(rate), horizon=2, sigma=0.1, pairs=2)
    controller = MetaController(Bowl(), lr=0.2, every=1, estimator=estimator)
    controller.add_hyperparam("lr", rate)
    for _ in range(60):
        controller.step(0.0, train_loss=lambda m: m())
    check_near(rate.value.item(), 1.0, 0.2)


def tuned_dropout(target, set_p):
    """The spread that a dropout makes is p / (1 - p)."""
    layer, p = nn.Dropout(0.7), BoundedHyperparam(0.7, 0.0, 0.9)
    model = nn.Sequential(layer, nn.Linear(1, 1))
    controller = MetaController(model, lr=0.1, every=1, estimator=EvolutionStrategy(pairs=2, sigma=0.2))
    controller.add_hyperparam("dropout", p, lambda value: set_p(layer, value))
    for _ in range(60):
        controller.step(0.0, val_loss=lambda m: (m[0](torch.ones(2000)).var() - target).square())
        assert layer.p == p.value.item()  # the setter is left with the value, not with a candidate's
    return p.value.item()


def test_a_dropout_rate_is_tuned_through_a_setter():
    assert tuned_dropout(0.5, lambda layer, p: setattr(layer, "p", p)) == pytest.approx(1 / 3, abs=0.05)
    with pytest.raises(ValueError, match="no path to dropout: the loss is the same for any value"):
        tuned_dropout(0.5, lambda layer, p: None)

"""The evolution strategy: in expectation the gradient of a smoothed loss, with an error that is known."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from dsptorch import BoundedHyperparam
from dsptorch.meta import EvolutionStrategy, MetaController, SGDRule
from tests.meta.loops import Run, loss_of
from tests.meta.models import Bowl, Knob, hypergradient, hypergradients, the_loss

SIGMA = 0.3


def estimates(estimator, model, loss, count):
    """One estimate after another, each with a seed of its own: (count,)."""
    controller = MetaController(model, lr=0.0, every=1, objective=the_loss, estimator=estimator)
    return torch.tensor([controller.step(0.0, val_loss=loss)["hypergradient"]["z"] for _ in range(count)])


def check_quadratic(estimator, pairs=500):
    """Of a quadratic it is g, smoothed or not; an estimate is the mean of e (e'g), of known variance."""
    point = torch.tensor([0.3, 0.5, 0.7], dtype=torch.float64)
    model = Knob(point)
    half = torch.tensor([[2.0, 0.5, 0.0], [0.0, 1.0, -0.3], [0.0, 0.0, 3.0]], dtype=torch.float64)
    centre = torch.tensor([1.0, -1.0, 0.5], dtype=torch.float64)

    def loss(model):
        return (half @ (model.z.raw - centre)).square().sum() / 2

    expected = half.T @ half @ (model.z.raw.detach() - centre)
    found = torch.tensor(hypergradient(estimator(sigma=SIGMA, pairs=pairs), model, val_loss=loss))
    error = ((expected.square().sum() + expected.square()) / pairs).sqrt()
    assert ((found - expected).abs() < 4 * error).all()


def check_cubic(estimator, pairs=600):
    """Of z^3 it is 3 z^2 + 3 sigma^2: that of the loss smoothed over sigma, and not that of the loss."""
    model = Knob(0.45)
    z = model.z.raw.item()
    found = hypergradient(estimator(sigma=SIGMA, pairs=pairs), model, val_loss=lambda m: m.z.raw.pow(3).sum())
    # The mean of 3 z^2 e^2 + sigma^2 e^4: Var e^2 = 2, Var e^4 = 96, Cov = 12.
    a, b = 3 * z**2, SIGMA**2
    error = math.sqrt((2 * a * a + 96 * b * b + 24 * a * b) / pairs)
    assert abs(found - (a + 3 * b)) < 4 * error
    assert 4 * error < 3 * b  # fine enough to tell the two


class Undivided(EvolutionStrategy):
    """A planted bug: the distance of a pair is taken for sigma."""

    def estimate(self, meta_step):
        found = super().estimate(meta_step)
        return found._replace(hypergradients={n: 2 * g for n, g in found.hypergradients.items()})


@pytest.mark.slow
@pytest.mark.parametrize("check", [check_quadratic, check_cubic])
def test_it_is_the_gradient_of_the_smoothed_loss(check):
    check(EvolutionStrategy)
    with pytest.raises(AssertionError):
        check(Undivided)


@pytest.mark.slow
def test_a_narrower_sigma_smooths_less():
    with pytest.raises(AssertionError):
        check_cubic(lambda sigma, pairs: EvolutionStrategy(sigma=sigma / 3, pairs=pairs))


# Common random numbers


def noisy(model):
    """The noise is far greater than what the hyperparameter does."""
    return model.z.raw.sum() + 10 * torch.randn((), dtype=torch.float64)


def dropped(model):
    """The same with the noise of a dropout."""
    return (nn.functional.dropout(torch.ones(64, dtype=torch.float64), 0.5) * 50).mean() + model.z.raw.sum()


def weighted(model):
    """Noise that weighs the hyperparameter, E = 1: an estimate goes wrong if the directions are the noise."""
    return torch.randn(1).square().sum() * model.z.raw.sum()


class OtherSeeds(EvolutionStrategy):
    """A planted bug: every loss has random numbers of its own."""

    def seeds(self, seed):
        return itertools.count(1000 * seed)

    def estimate(self, meta_step):
        self.__dict__["of_losses"] = self.seeds(meta_step.seed)
        return super().estimate(replace(meta_step, first=False))  # or it would be refused at once

    def _loss(self, meta_step, raws, tape):
        return super()._loss(replace(meta_step, seed=next(self.of_losses)), raws, tape)


class SameSeed(OtherSeeds):
    """A planted bug: the losses are seeded as the directions are."""

    def seeds(self, seed):
        return itertools.repeat(seed)


def check_variance(kind, loss):
    """With the same noise on both sides an estimate is e^2, whose variance is 2."""
    found = estimates(kind(pairs=1, sigma=SIGMA), Knob(), loss, 100)
    assert found.mean().item() == pytest.approx(1, abs=4 * math.sqrt(2 / 100))
    assert found.var() < 4


@pytest.mark.slow
@pytest.mark.parametrize("loss", [noisy, dropped])
def test_both_sides_of_a_pair_have_the_same_noise(loss):
    check_variance(EvolutionStrategy, loss)
    with pytest.raises(AssertionError):
        check_variance(OtherSeeds, loss)


def check_unbiased(kind):
    """E n^2 e^2 = 1 and Var n^2 e^2 = 8 where n and e are independent; where they are one, E e^4 = 3."""
    found = estimates(kind(pairs=1, sigma=SIGMA), Knob(), weighted, 250)
    assert abs(found.mean().item() - 1) < 4 * math.sqrt(8 / 250)


@pytest.mark.slow
def test_the_directions_are_not_the_noise_of_the_loss():
    check_unbiased(EvolutionStrategy)
    with pytest.raises(AssertionError):
        check_unbiased(SameSeed)


# A horizon: what acts on training alone


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


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 5])
def test_a_horizon_sees_a_learning_rate(steps):
    check_learning_rate(steps)
    with pytest.raises(AssertionError):
        check_learning_rate(steps, off=4)


def test_losses_that_are_infinite_at_first_are_skipped_not_blamed():
    """They say nothing of what the loss depends on; the first that is finite does."""
    run = Run("es", every=1, lr=0.3)
    with pytest.warns(UserWarning, match="skipped, 1 so far: not finite"):
        assert run.step(lambda model: loss_of(model) + torch.inf) is None
    assert run.controller.skipped == 1
    before = run.model.dropout.p
    assert run.step() is not None
    assert run.model.dropout.p != before
    blind = MetaController(nn.Linear(3, 1), every=1, estimator=EvolutionStrategy())
    blind.add_hyperparam("x", BoundedHyperparam(0.5, 0.0, 1.0), lambda value: None)
    with pytest.warns(UserWarning, match="not finite"):
        blind.step(1.0, val_loss=lambda m: m.weight.sum() + torch.inf)
    with pytest.raises(ValueError, match="no path to x"):
        blind.step(2.0, val_loss=lambda m: m.weight.sum())

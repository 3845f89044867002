"""Ridge regression: the hypergradient of its price has a closed form, and every estimator must find it."""

import math

import pytest
import torch

from dsptorch.meta import EvolutionStrategy, Implicit, SGDRule, Unroll
from tests.meta.models import Forgetful, Ridge, check_near, hypergradient

LR = 0.2


class Ascent(SGDRule):
    """A planted bug: up instead of down."""

    def step(self, weights, gradients, state, decayed):
        return super().step(weights, {name: -g for name, g in gradients.items()}, state, decayed)


def check_estimator(estimator, tolerance, *, start="optimum", factor=1.0, **arguments):
    ridge = Ridge()
    if start == "optimum":
        ridge.at_optimum()
    found = hypergradient(estimator, ridge, **ridge.losses() | arguments)
    check_near(found, factor * ridge.closed_form(), tolerance)


FINDING = [
    (Unroll(SGDRule(LR), steps=150), "optimum", 1e-9),
    (Unroll(SGDRule(LR), steps=150), "elsewhere", 1e-9),
    (Unroll(SGDRule(LR, momentum=0.5), steps=120), "elsewhere", 1e-9),
    (Implicit(SGDRule(LR), terms=150), "optimum", 1e-9),
    (Implicit(SGDRule(LR), terms=4, solver="cg"), "optimum", 1e-12),
    (Implicit(SGDRule(0.01), terms=4, solver="cg"), "optimum", 1e-12),
]


@pytest.mark.parametrize(("estimator", "start", "tolerance"), FINDING, ids=str)
def test_an_estimator_finds_it(estimator, start, tolerance):
    check_estimator(estimator, tolerance, start=start)


def check_single_precision(kind, lr):
    """A learning rate that is small beside 1 takes no digits from the curvatures."""
    exact, ridge = Ridge().closed_form(), Ridge().at_optimum().float()
    for name in ("x", "y", "x_val", "y_val"):
        setattr(ridge, name, getattr(ridge, name).float())
    check_near(hypergradient(kind(SGDRule(lr), 4, "cg"), ridge, **ridge.losses()), exact, 1e-5)


def keeps_rate(rule, terms, solver):
    """A planted bug: dF/dw = I - lr H, in which a small lr is lost."""

    class Kept(SGDRule):
        step = staticmethod(rule.step)

    return Implicit(Kept(rule.lr), terms, solver)


def test_conjugate_gradients_do_not_depend_on_the_learning_rate():
    check_single_precision(Implicit, 0.2)
    check_single_precision(Implicit, 1e-6)
    with pytest.raises(AssertionError):
        check_single_precision(keeps_rate, 1e-6)


def test_evolution_finds_it_from_losses_alone():
    """To the noise of its directions: one hyperparameter's is that of a mean of squares."""
    ridge = Ridge().at_optimum()
    estimator = EvolutionStrategy(SGDRule(LR), horizon=10, sigma=0.01, pairs=100)
    expected = hypergradient(Unroll(SGDRule(LR), 10), ridge, **ridge.losses())
    check_near(hypergradient(estimator, ridge, **ridge.losses()), expected, 4 * math.sqrt(2 / 100))


def test_an_objective_of_the_loss_has_its_factor():
    for estimator in (Unroll(SGDRule(LR), steps=150), Implicit(SGDRule(LR), 4, "cg")):
        check_estimator(estimator, 1e-9, objective="smoothed_loss", factor=0.1)


WRONG = [
    (Unroll(SGDRule(LR), steps=10), "optimum"),
    (Unroll(Ascent(LR), steps=5), "optimum"),
    (Unroll(Forgetful(LR), steps=150), "optimum"),
    (Implicit(SGDRule(LR), terms=10), "optimum"),
    (Implicit(Ascent(LR), terms=10), "optimum"),
    (Implicit(Forgetful(LR), terms=150), "optimum"),
    (Implicit(SGDRule(LR), terms=2, solver="cg"), "optimum"),
    (Implicit(SGDRule(LR), terms=4, solver="cg"), "elsewhere"),
]


@pytest.mark.parametrize(("estimator", "start"), WRONG, ids=str)
def test_wrong_estimators_are_caught(estimator, start):
    with pytest.raises(AssertionError):
        check_estimator(estimator, 1e-3, start=start)


def check_series_is_unroll(series, unrolled):
    ridge = Ridge().at_optimum()
    check_near(
        hypergradient(series, ridge, **ridge.losses()),
        hypergradient(unrolled, ridge, **ridge.losses()),
        1e-10,
    )


@pytest.mark.parametrize("k", [1, 2, 7])
def test_k_terms_are_k_steps_from_the_optimum(k):
    rule = SGDRule(LR)
    check_series_is_unroll(Implicit(rule, k), Unroll(rule, k))
    with pytest.raises(AssertionError):
        check_series_is_unroll(Implicit(rule, k + 1), Unroll(rule, k))


def check_t1_t2(terms, direct):
    """dL_val/dz - lr (dL_val/dw)' d2L_train/dw dz, wherever the weights are; here d2L_train/dw dprice = w."""
    ridge = Ridge()
    ridge.weight.data.normal_()
    with_price = {"val_loss": lambda m: m.val_loss() + 3 * m.price().sum()}
    found = hypergradient(Implicit(SGDRule(LR), terms), ridge, **ridge.losses() | with_price)
    outer = ridge.x_val.T @ (ridge.x_val @ ridge.weight - ridge.y_val)
    check_near(
        found, (direct - LR * (outer.T @ ridge.weight).item()) * ridge.by_price(ridge.price().sum()), 1e-10
    )


def test_one_term_is_t1_t2():
    check_t1_t2(terms=1, direct=3.0)
    for wrong in ({"terms": 2, "direct": 3.0}, {"terms": 1, "direct": 0.0}):
        with pytest.raises(AssertionError):
            check_t1_t2(**wrong)


# A price on the weights is a weight decay: learned through the rule or in the loss, it is one thing.

KINDS = {
    "unroll": lambda rule: Unroll(rule, 7),
    "neumann": lambda rule: Implicit(rule, 7),
    "cg": lambda rule: Implicit(rule, 3, "cg"),
}


class HalfDecay(SGDRule):
    """A planted bug: half of the decay does not reach the weights."""

    def step(self, weights, gradients, state, decayed):
        less = {name: g - self.weight_decay() / 2 * weights[name] for name, g in gradients.items()}
        return super().step(weights, less, state, decayed)


def check_decay(estimator_of, rule=SGDRule):
    """The hypergradient of a decay in the rule is that of a price in the loss."""
    found = []
    for priced in (False, True):
        ridge = Ridge(priced=priced)
        ridge.weight.data.normal_(generator=torch.Generator().manual_seed(3))
        estimator = estimator_of(SGDRule(LR) if priced else rule(LR, weight_decay=ridge.price))
        found.append(hypergradient(estimator, ridge, **ridge.losses()))
    check_near(*found, 1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_a_learned_weight_decay_is_a_learned_price(kind):
    check_decay(KINDS[kind])
    with pytest.raises(AssertionError):
        check_decay(KINDS[kind], HalfDecay)

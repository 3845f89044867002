"""A MetaController finds what made the data: a decimation factor, a rank."""

import pytest
import torch
from torch import Tensor

from dsptorch import BoundedHyperparam, MetaController
from dsptorch.meta import EvolutionStrategy
from tests.meta import tasks as meta_tasks

SEEDS = range(10)


def descend(task, steps, lr, every=1):
    """The estimator `direct` on the gradients of training, Adam on the weights where they learn."""
    controller = MetaController(task.model, every=every, lr=lr)
    groups = controller.inner_param_groups(weight_decay=0.0)
    optimizer = torch.optim.Adam(groups, lr=0.01) if task.weights() else None
    for _ in range(steps):
        loss = task.loss(task.batch())
        loss.backward()
        if optimizer:
            optimizer.step()
            optimizer.zero_grad()
        controller.step(loss)
    return task


def evolve(task, seed):
    """An evolution strategy whose pairs are further apart than the local optima; then the better neighbour."""
    controller = MetaController(
        task.model, every=1, lr=0.2, estimator=EvolutionStrategy(sigma=1.0, pairs=4), seed=seed
    )
    for _ in range(40):
        batch = task.batch()
        controller.step(0.0, val_loss=lambda _, batch=batch: task.loss(batch))
    batch = task.batch()
    task.hyperparam.harden(lambda: task.loss(batch))
    return task


# A decimation factor


def recovered(inits):
    """How many seeds end nearest to the truth."""
    tasks = [meta_tasks.downsampling(seed, init=init) for seed, init in enumerate(inits)]
    return sum(descend(task, 50, 0.05).hyperparam.nearest.item() == task.truth for task in tasks)


@pytest.mark.parametrize("init", [3, 5])
def test_gradient_finds_the_factor_from_one_step_away(init):
    assert recovered([init] * 4) == 4


@pytest.mark.slow
@pytest.mark.parametrize("init", [3, 5])
def test_gradient_finds_the_factor_from_one_step_away_nearly_always(init):
    assert recovered([init] * 10) >= 9


def test_a_factor_that_is_rounded_is_not_found(monkeypatch):
    def rounded(self) -> Tensor:
        return torch.nn.functional.one_hot((self.nearest - self.low).long(), 8) + 0 * self().unsqueeze(-1)

    monkeypatch.setattr(BoundedHyperparam, "weights", rounded)
    assert recovered([3, 5]) == 0


def test_from_afar_gradient_parks_between_integers_and_enumeration_finds_it():
    task = descend(meta_tasks.downsampling(0, init=7.5), 50, 0.05)
    assert abs(task.found - task.truth) > 2
    batch = task.batch()
    assert task.hyperparam.harden(lambda: task.loss(batch)).value.item() != task.truth
    assert task.hyperparam.harden(lambda: task.loss(batch), "all").value.item() == task.truth


def test_evolution_finds_the_factor_from_afar():
    task = evolve(meta_tasks.downsampling(1, init=2), seed=1)
    assert task.found == task.truth


@pytest.mark.slow
def test_evolution_finds_the_factor_from_anywhere():
    tasks = [evolve(meta_tasks.downsampling(seed, init=1 + seed % 8), seed) for seed in SEEDS]
    assert sum(task.found == task.truth for task in tasks) >= 9


def test_enumeration_finds_the_factor_from_anywhere():
    def found(sign):
        tasks = [meta_tasks.downsampling(seed, init=1 + seed % 8) for seed in SEEDS]
        for task in tasks:
            batch = task.batch()
            task.hyperparam.harden(lambda task=task, batch=batch: sign * task.loss(batch), "all")
        return sum(task.found == task.truth for task in tasks)

    assert found(1) == 10
    assert found(-1) == 0


# A rank


def check_rank(truth, price, **kwargs):
    task = descend(meta_tasks.rank(0, truth=truth, price=price, **kwargs), 600, 0.1, every=5)
    assert abs(task.found - truth) <= 1


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("truth", "price"),
    [
        (3, 0.015),
        (5, 0.05),
        (3, 0.15),
        pytest.param(5, 0.015, marks=SLOW),
        pytest.param(3, 0.05, marks=SLOW),
        pytest.param(5, 0.15, marks=SLOW),
    ],
)
def test_a_price_on_the_width_finds_the_rank(truth, price):
    check_rank(truth, price)


@pytest.mark.parametrize("price", [0.0, 1.0], ids=["no price", "a unit costs more than it gives"])
def test_another_price_does_not(price):
    with pytest.raises(AssertionError):
        check_rank(4, price)

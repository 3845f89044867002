"""A Replay gives every candidate the same batches, and training each batch once."""

import itertools

import pytest
import torch

from dsptorch.meta import EvolutionStrategy, MetaController, Replay, SGDRule
from tests.meta.models import Bowl, Knob


def run(source, draws=1):
    """The batches that each loss of each of two updates drew: one list a loss."""
    controller = MetaController(Knob(), lr=0.1, every=1, estimator=EvolutionStrategy(pairs=3))
    drawn = [[], []]
    for of_update in drawn:

        def loss(m, of_update=of_update):
            of_update.append([float(next(source)) for _ in range(draws)])
            return m.z().sum() * (1 + of_update[-1][0])

        controller.step(0.0, val_loss=loss)
    return drawn


@pytest.mark.parametrize("draws", [1, 3])
def test_every_candidate_gets_the_same_batches(draws):
    source = Replay(itertools.count())
    first, second = run(source, draws)
    assert all(of_loss == [float(n) for n in range(draws)] for of_loss in first)
    assert all(of_loss == [float(n) for n in range(draws, 2 * draws)] for of_loss in second)
    assert len(second) == 1 + 2 * 3  # the loss that stands, and three pairs
    assert next(source) == 2 * draws


class Forgetting(Replay):
    """A planted bug: it starts a tape of its own at each draw."""

    def __next__(self):
        return next(self.iterator)


class Anew:
    """It makes a Replay at each draw."""

    numbers = itertools.count()

    def __next__(self):
        return next(Replay(self.numbers))


@pytest.mark.parametrize("source", [itertools.count(), Forgetting(itertools.count()), Anew()])
def test_another_batch_at_each_call_is_refused(source):
    with pytest.raises(ValueError, match=r"another batch at each call.*dsptorch\.meta\.Replay"):
        run(source)


def test_torchs_own_generator_needs_none():
    for of_update in run(torch.rand(()) for _ in itertools.count()):
        assert all(of_loss == of_update[0] for of_loss in of_update)


def test_two_sources_are_told_apart_and_a_horizon_draws_one_batch_a_step():
    train, val = Replay(itertools.count(1)), Replay(itertools.count(100))
    drawn = []

    def loss_on(source):
        def loss(m):
            drawn.append(next(source))
            return m() / drawn[-1]

        return loss

    rate = Knob().z
    controller = MetaController(Bowl(), every=1, estimator=EvolutionStrategy(SGDRule(rate), horizon=3))
    controller.add_hyperparam("lr", rate)
    controller.step(0.0, train_loss=loss_on(train), val_loss=loss_on(val))
    losses = [drawn[i : i + 4] for i in range(0, len(drawn), 4)]
    assert all(of_loss == [1, 2, 3, 100] for of_loss in losses)
    assert (next(train), next(val)) == (4, 101)


def test_outside_an_update_it_is_the_iterator():
    source = Replay([1, 2])
    assert list(source) == [1, 2]
    with pytest.raises(StopIteration):
        next(source)

"""A Replay gives every candidate the same batches, and training each batch once."""

import itertools

import pytest
import torch

from dsptorch.meta import EvolutionStrategy, MetaController, Replay, SGDRule
from tests.meta.models import Knob
from tests.meta.test_horizon import Bowl


def run(source, *, draws=1, pairs=3, updates=2):
    """The batches that each loss of each update drew: one list a loss."""
    model = Knob()
    controller = MetaController(model, lr=0.1, every=1, estimator=EvolutionStrategy(pairs=pairs))
    drawn = [[] for _ in range(updates)]
    for of_update in drawn:

        def loss(m, of_update=of_update):
            of_update.append([float(next(source)) for _ in range(draws)])
            return m.z().sum() * (1 + of_update[-1][0])

        controller.step(0.0, val_loss=loss)
    return drawn


def check_repeats(source, draws):
    first, second = run(source, draws=draws)
    assert all(of_loss == [float(n) for n in range(draws)] for of_loss in first)
    assert all(of_loss == [float(n) for n in range(draws, 2 * draws)] for of_loss in second)
    assert len(second) == 1 + 2 * 3  # the loss that stands, and three pairs
    assert next(source) == 2 * draws


@pytest.mark.parametrize("draws", [1, 3])
def test_every_candidate_gets_the_same_batches(draws):
    check_repeats(Replay(itertools.count()), draws)


class Forgetting(Replay):
    """A planted bug: it starts a tape of its own at each draw."""

    def __next__(self):
        return next(self.iterator)


def test_a_bare_iterator_is_refused_by_name():
    for source in (itertools.count(), Forgetting(itertools.count())):
        with pytest.raises(ValueError, match=r"another batch at each call.*dsptorch\.meta\.Replay"):
            run(source)


def test_a_replay_made_anew_at_each_draw_is_refused():
    numbers = itertools.count()

    class Anew:
        def __next__(self):
            return next(Replay(numbers))

    with pytest.raises(ValueError, match="another batch at each call"):
        run(Anew())


def test_torchs_own_generator_needs_none():
    class Random:
        def __next__(self):
            return torch.rand(())

    for of_update in run(Random()):
        assert all(of_loss == of_update[0] for of_loss in of_update)


def test_two_sources_are_told_apart_and_a_horizon_draws_one_batch_a_step():
    train, val = Replay(itertools.count(1)), Replay(itertools.count(100))
    drawn = []

    def loss_on(source):
        def loss(m):
            drawn.append(next(source))
            return m() / drawn[-1]

        return loss

    model, rate = Bowl(), Knob().z
    controller = MetaController(model, every=1, estimator=EvolutionStrategy(SGDRule(rate), horizon=3))
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

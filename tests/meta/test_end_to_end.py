"""A user's module, with no DSP in it, is tuned from bad knobs: temperature, dropout and weight decay."""

import functools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dsptorch import BoundedHyperparam
from dsptorch.meta import AdamRule, EvolutionStrategy, MetaController, Replay, SGDRule, Unroll

STEPS, EVERY, BATCH = 100, 5, 32


def examples(number, generator):
    x = torch.randn(number, 8, generator=generator)
    return x, (x @ torch.linspace(-1, 1, 24).sin().view(8, 3) * 3 + 0.5 * x[:, :3].square()).argmax(dim=1)


def batches(data, seed):
    """An endless stream of batches."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        index = torch.randint(len(data[0]), (BATCH,), generator=generator)
        yield data[0][index], data[1][index]


class Task(nn.Module):
    """An MLP whose logits are divided by a temperature, and three sets of data."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Dropout(0.0), nn.Linear(32, 3))
        self.temperature = BoundedHyperparam(8.0, 0.1, 10.0, log=True)
        generator = torch.Generator().manual_seed(1)
        train, val, self.test_data = (examples(number, generator) for number in (256, 256, 1024))
        self.train_data, self.meta_data, self.val_data = (
            Replay(batches(data, seed)) for data, seed in ((train, 2), (train, 3), (val, 4))
        )

    def loss(self, batch, train):
        self.train(train)
        return F.cross_entropy(self.body(batch[0]) / self.temperature(), batch[1])

    def meta_train_loss(self):
        return self.loss(next(self.meta_data), train=True)

    def val_loss(self):
        return self.loss(next(self.val_data), train=False)


def fit(task, estimator, lr, optimizer_of, **knobs):
    """The loop of the documentation; weight decay and dropout reach training through setters."""
    controller = MetaController(task, lr=lr, every=EVERY, estimator=estimator)
    optimizer = optimizer_of(controller.inner_param_groups(weight_decay=0.0))
    controller.attach(optimizer)
    decayed, dropout = optimizer.param_groups[0], task.body[2]
    setters = {
        "weight_decay": lambda value: decayed.update(weight_decay=value),
        "dropout": lambda p: setattr(dropout, "p", p),
    }
    for name, hyperparam in knobs.items():
        controller.add_hyperparam(name, hyperparam, setters[name])
    for _ in range(STEPS):
        loss = task.loss(next(task.train_data), train=True)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        controller.step(loss, train_loss=Task.meta_train_loss, val_loss=Task.val_loss)
    assert len(controller.history) == STEPS // EVERY
    values = {name: h.value.item() for name, h in controller.hyperparams.items()}
    handed = {"weight_decay": decayed["weight_decay"], "dropout": dropout.p}
    assert all(handed[name] == values[name] for name in knobs)
    return task.loss(task.test_data, train=False).item(), values


def adamw(groups):
    return torch.optim.AdamW(groups, lr=0.01)


def by_evolution(lr):
    """All three."""
    decay, dropout = BoundedHyperparam(3.0, 1e-3, 10.0, log=True), BoundedHyperparam(0.8, 0.0, 0.9)
    estimator = EvolutionStrategy(AdamRule(lr=0.01, weight_decay=decay), horizon=5, pairs=3)
    result, values = fit(Task(), estimator, lr, adamw, weight_decay=decay, dropout=dropout)
    values.pop("dropout")  # the least of the three: its share is lost in the noise
    return result, values


def by_evolution_alone(lr):
    """Dropout by itself: the estimate of one number has no noise of others in it."""
    task, dropout = Task(), BoundedHyperparam(0.85, 0.0, 0.9)
    task.temperature.freeze().set_(1.0)
    return fit(task, EvolutionStrategy(AdamRule(lr=0.01), horizon=5, pairs=2), lr, adamw, dropout=dropout)


def by_unrolling(lr):
    """The rule reads the weight decay, as a tensor."""
    decay = BoundedHyperparam(0.3, 1e-4, 1.0, log=True)
    estimator = Unroll(SGDRule(lr=0.3, weight_decay=decay), steps=5)
    return fit(Task(), estimator, lr, lambda groups: torch.optim.SGD(groups, lr=0.3), weight_decay=decay)


@functools.cache
def tuned(tune, lr):
    """A run; with lr = 0 it is the one of the bad knobs."""
    return tune(lr)


def check_tuned(tune, share, lr=0.15):
    """The validation loss falls under a share of what the bad knobs give, and each knob is lower."""
    fixed, start = tuned(tune, 0.0)
    learned, values = tuned(tune, lr)
    assert learned < share * fixed
    for name, value in values.items():
        assert value < 0.8 * start[name], name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tune", "share"), [(by_evolution, 0.95), (by_evolution_alone, 0.995), (by_unrolling, 0.85)]
)
def test_bad_knobs_are_tuned(tune, share):
    check_tuned(tune, share)


@pytest.mark.parametrize("lr", [0.0, 1e-4])
def test_knobs_that_hardly_move_are_seen(lr):
    with pytest.raises(AssertionError):
        check_tuned(by_unrolling, 0.85, lr)

"""A MetaController finds what made the data: a decimation factor, a rank."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dsptorch import BoundedHyperparam, MetaController, Multirate
from dsptorch.functional import width_mask
from dsptorch.meta import EvolutionStrategy

SLOW = pytest.mark.slow


class Task(nn.Module):
    """A model that learns, and one hyperparameter of it that has a right value, `truth`."""

    def harden(self, candidates="neighbours", sign=1):
        """Choose the best integer of one batch, or the worst."""
        batch = self.batch()
        return self.hyperparam.harden(lambda: sign * self.loss(*batch), candidates).value.item()


def descend(task, steps, lr, every=1):
    """The estimator `direct` on the gradients of training, Adam on the weights where they learn."""
    controller = MetaController(task, every=every, lr=lr)
    optimizer = torch.optim.Adam(controller.inner_param_groups(weight_decay=0.0), lr=0.01)
    for _ in range(steps):
        loss = task.loss(*task.batch())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        controller.step(loss)
    return task


# A decimation factor


class Downsampling(Task):
    """Which decimation factor made this? A Multirate block of factor 4 did, and noise was added."""

    truth = 4

    def __init__(self, seed, init):
        super().__init__()
        self.generator = torch.Generator().manual_seed(seed)
        factor = BoundedHyperparam(init, 1, 8, integer=True)
        self.teacher, self.student = (
            Multirate(2, downsample, mix_ratio=0.4, detail_strength=0.75) for downsample in (4, factor)
        )
        self.requires_grad_(False)
        factor.requires_grad_(True)
        for name in ("low", "recon", "detail"):
            getattr(self.student, name).copy_(getattr(self.teacher, name))

    @property
    def hyperparam(self):
        return self.student.downsample

    def batch(self):
        """A signal on two scales: levels that last nine samples on the average, and noise on them."""
        level = (torch.rand(2, 72, 1, generator=self.generator) < 1 / 9).cumsum(1)
        levels = torch.randn(2, 73, 2, generator=self.generator).gather(1, level.expand(-1, -1, 2))
        x = levels + 0.3 * torch.randn(2, 72, 2, generator=self.generator)
        return x, self.teacher(x) + 0.1 * torch.randn(2, 72, 2, generator=self.generator)

    def loss(self, x, y):
        return F.mse_loss(self.student(x), y)


def from_anywhere(seeds):
    return [(seed, Downsampling(seed, init=1 + seed % 8)) for seed in seeds]


def recovered(init, seeds):
    """How many seeds end nearest to the truth."""
    tasks = [descend(Downsampling(seed, init), 50, 0.05) for seed in range(seeds)]
    return sum(task.hyperparam.nearest.item() == task.truth for task in tasks)


@pytest.mark.parametrize(("seeds", "least"), [(4, 4), pytest.param(10, 9, marks=SLOW)])
@pytest.mark.parametrize("init", [3, 5])
def test_gradient_finds_the_factor_from_one_step_away(init, seeds, least):
    assert recovered(init, seeds) >= least


def test_a_factor_that_is_rounded_is_not_found(monkeypatch):
    def rounded(self):
        return F.one_hot((self.nearest - self.low).long(), 8) + 0 * self().unsqueeze(-1)

    monkeypatch.setattr(BoundedHyperparam, "weights", rounded)
    assert recovered(3, seeds=1) == recovered(5, seeds=1) == 0


def test_from_afar_gradient_parks_between_integers_and_enumeration_finds_it():
    task = descend(Downsampling(0, init=7.5), 50, 0.05)
    assert abs(task.hyperparam.value.item() - task.truth) > 2
    assert task.harden() != task.truth
    assert task.harden("all") == task.truth


def evolved(seed, task):
    """By an evolution strategy with pairs further apart than the local optima; then the better neighbour."""
    estimator = EvolutionStrategy(sigma=1.0, pairs=4)
    controller = MetaController(task, every=1, lr=0.2, estimator=estimator, seed=seed)
    for _ in range(40):
        batch = task.batch()
        controller.step(0.0, val_loss=lambda task, batch=batch: task.loss(*batch))
    return task.harden()


@pytest.mark.parametrize(("seeds", "least"), [([1], 1), pytest.param(range(10), 9, marks=SLOW)])
def test_evolution_finds_the_factor_from_anywhere(seeds, least):
    assert sum(evolved(seed, task) == task.truth for seed, task in from_anywhere(seeds)) >= least


@pytest.mark.parametrize(("sign", "right"), [(1, 10), (-1, 0)], ids=["the least loss", "the greatest"])
def test_enumeration_finds_the_factor_from_anywhere(sign, right):
    assert sum(task.harden("all", sign) == task.truth for _, task in from_anywhere(range(10))) == right


# A rank


class Rank(Task):
    """How wide must the bottleneck be? The target is a map with `truth` equal singular values, the others 0.

    The bottleneck is masked as that of ChannelBottleneck is.

        loss = unexplained share of the variance + price * width + 0.004 * |weights|^2

    A unit too few costs 1 / truth. Without the last term the weights undo the mask, and the width is lower:
    a unit of mask 0.1 serves as well with weights ten times as large.
    """

    def __init__(self, truth, price):
        super().__init__()
        self.truth, self.price = truth, price
        self.generator = torch.Generator().manual_seed(0)
        bases = torch.linalg.qr(torch.randn(2, 16, 16, generator=self.generator)).Q
        self.target = bases[0, :, :truth] @ bases[1, :, :truth].T
        self.hyperparam = BoundedHyperparam(0.5, 1 / 16, 1.0)
        self.down, self.up = nn.Linear(16, 16, bias=False), nn.Linear(16, 16, bias=False)
        for weight in (self.down.weight, self.up.weight):
            weight.data.uniform_(-0.25, 0.25, generator=self.generator)

    def width(self):
        return 16 * self.hyperparam()

    def batch(self):
        x = torch.randn(64, 16, generator=self.generator)
        return x, x @ self.target.T

    def loss(self, x, y):
        hidden = self.down(x)
        error = self.up(hidden * width_mask(self.width(), 16, hidden)) - y
        size = self.down.weight.square().sum() + self.up.weight.square().sum()
        return error.square().sum() / y.square().sum() + self.price * self.width().sum() + 4e-3 * size


def check_rank(truth, price):
    task = descend(Rank(truth, price), 600, 0.1, every=5)
    assert abs(task.width().item() - truth) <= 1


@pytest.mark.slow
@pytest.mark.parametrize(("truth", "price"), [(3, 0.015), (5, 0.05), (3, 0.15)])
def test_a_price_on_the_width_finds_the_rank(truth, price):
    check_rank(truth, price)


@pytest.mark.slow
@pytest.mark.parametrize("price", [0.0, 1.0], ids=["no price", "a unit costs more than it gives"])
def test_another_price_does_not(price):
    with pytest.raises(AssertionError):
        check_rank(4, price)

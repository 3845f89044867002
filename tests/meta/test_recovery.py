"""A MetaController finds what made the data: a decimation factor, a rank."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsptorch import BoundedHyperparam, MetaController, Multirate
from dsptorch.functional import width_mask
from dsptorch.meta import EvolutionStrategy

Batch = tuple[Tensor, Tensor]
SLOW = pytest.mark.slow


@dataclass(frozen=True)
class Task:
    """A model that learns, and one hyperparameter of it that has a right value: `truth`, in the unit of `found`.

    `batch` draws the next (input, target), `loss` is of a batch, and `scale` says how many units of `truth` one unit
    of the hyperparameter is.
    """

    model: nn.Module
    hyperparam: BoundedHyperparam
    truth: float
    batch: Callable[[], Batch]
    loss: Callable[[Batch], Tensor]
    scale: float = 1.0

    @property
    def found(self) -> float:
        return self.hyperparam.value.item() * self.scale

    def harden(self, candidates: str = "neighbours", sign: int = 1) -> float:
        """Choose the best integer of one batch, or the worst."""
        batch = self.batch()
        self.hyperparam.harden(lambda: sign * self.loss(batch), candidates)
        return self.found


def descend(task: Task, steps: int, lr: float, every: int = 1) -> Task:
    """The estimator `direct` on the gradients of training, Adam on the weights where they learn."""
    controller = MetaController(task.model, every=every, lr=lr)
    groups = controller.inner_param_groups(weight_decay=0.0)
    optimizer = torch.optim.Adam(groups, lr=0.01)
    for _ in range(steps):
        loss = task.loss(task.batch())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        controller.step(loss)
    return task


def evolve(seed: int, init: float) -> Task:
    """An evolution strategy whose pairs are further apart than the local optima; then the better neighbour."""
    task, estimator = downsampling(seed, init), EvolutionStrategy(sigma=1.0, pairs=4)
    controller = MetaController(task.model, every=1, lr=0.2, estimator=estimator, seed=seed)
    for _ in range(40):
        batch = task.batch()
        controller.step(0.0, val_loss=lambda _, batch=batch: task.loss(batch))
    task.harden()
    return task


# A decimation factor


def two_scales(generator: torch.Generator) -> Tensor:
    """A signal on two scales: levels that last nine samples on the average, and noise on them."""
    level = (torch.rand(2, 72, 1, generator=generator) < 1 / 9).cumsum(1)
    levels = torch.randn(2, 73, 2, generator=generator)
    return levels.gather(1, level.expand(-1, -1, 2)) + 0.3 * torch.randn(2, 72, 2, generator=generator)


def downsampling(seed: int, init: float) -> Task:
    """Which decimation factor made this? A Multirate block of factor 4 did, and noise was added."""
    generator = torch.Generator().manual_seed(seed)
    factor = BoundedHyperparam(init, 1, 8, integer=True)
    teacher, student = (Multirate(2, made, mix_ratio=0.4, detail_strength=0.75) for made in (4, factor))
    for name in ("low", "recon", "detail"):
        getattr(student, name).requires_grad_(False).copy_(getattr(teacher, name).detach())

    def batch() -> Batch:
        x = two_scales(generator)
        y = teacher(x).detach()
        return x, y + 0.1 * torch.randn(y.shape, generator=generator)

    return Task(student, factor, 4, batch, lambda batch: F.mse_loss(student(batch[0]), batch[1]))


def recovered(inits: list[float]) -> int:
    """How many seeds end nearest to the truth."""
    tasks = [descend(downsampling(seed, init), 50, 0.05) for seed, init in enumerate(inits)]
    return sum(task.hyperparam.nearest.item() == task.truth for task in tasks)


@pytest.mark.parametrize(("seeds", "least"), [(4, 4), pytest.param(10, 9, marks=SLOW)])
@pytest.mark.parametrize("init", [3, 5])
def test_gradient_finds_the_factor_from_one_step_away(init, seeds, least):
    assert recovered([init] * seeds) >= least


def test_a_factor_that_is_rounded_is_not_found(monkeypatch):
    def rounded(self) -> Tensor:
        return F.one_hot((self.nearest - self.low).long(), 8) + 0 * self().unsqueeze(-1)

    monkeypatch.setattr(BoundedHyperparam, "weights", rounded)
    assert recovered([3, 5]) == 0


def test_from_afar_gradient_parks_between_integers_and_enumeration_finds_it():
    task = descend(downsampling(0, init=7.5), 50, 0.05)
    assert abs(task.found - task.truth) > 2
    assert task.harden() != task.truth
    assert task.harden("all") == task.truth


def anywhere(seed: int) -> int:
    return 1 + seed % 8


@pytest.mark.parametrize(
    ("seeds", "least"), [([1], 1), pytest.param(range(10), 9, marks=SLOW)], ids=["one seed", "ten seeds"]
)
def test_evolution_finds_the_factor_from_anywhere(seeds, least):
    tasks = [evolve(seed, anywhere(seed)) for seed in seeds]
    assert sum(task.found == task.truth for task in tasks) >= least


@pytest.mark.parametrize(("sign", "right"), [(1, 10), (-1, 0)], ids=["the least loss", "the greatest"])
def test_enumeration_finds_the_factor_from_anywhere(sign, right):
    tasks = [downsampling(seed, anywhere(seed)) for seed in range(10)]
    assert sum(task.harden("all", sign) == task.truth for task in tasks) == right


# A rank


class LowRank(nn.Module):
    """A linear map through a bottleneck of learned width, masked as ChannelBottleneck is."""

    def __init__(self) -> None:
        super().__init__()
        self.ratio = BoundedHyperparam(0.5, 1 / 16, 1.0)
        self.down, self.up = nn.Linear(16, 16, bias=False), nn.Linear(16, 16, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.down(x)
        return self.up(hidden * width_mask(self.ratio() * 16, 16, hidden))


def rank(truth: int, price: float) -> Task:
    """How wide must the bottleneck be? The target is a map with `truth` equal singular values, the others 0.

    loss = unexplained share of the variance + price * width + 0.004 * |weights|^2

    A unit too few costs 1 / truth. Without the last term the weights undo the mask, and the width settles lower: a
    unit of mask 0.1 serves as well with weights ten times as large.
    """
    generator = torch.Generator().manual_seed(0)
    bases = torch.linalg.qr(torch.randn(2, 16, 16, generator=generator)).Q
    target = bases[0, :, :truth] @ bases[1, :, :truth].T
    model = LowRank()
    weights = (model.down.weight, model.up.weight)
    for weight in weights:
        weight.data.uniform_(-0.25, 0.25, generator=generator)

    def batch() -> Batch:
        x = torch.randn(64, 16, generator=generator)
        return x, x @ target.T

    def loss(batch: Batch) -> Tensor:
        x, y = batch
        error = (model(x) - y).square().sum() / y.square().sum()
        size = sum(weight.square().sum() for weight in weights)
        return error + price * 16 * model.ratio().sum() + 4e-3 * size

    return Task(model, model.ratio, truth, batch, loss, scale=16)


def check_rank(truth, price):
    task = descend(rank(truth, price), 600, 0.1, every=5)
    assert abs(task.found - truth) <= 1


@pytest.mark.parametrize(("truth", "price"), [(3, 0.015), (5, 0.05), (3, 0.15)])
def test_a_price_on_the_width_finds_the_rank(truth, price):
    check_rank(truth, price)


@pytest.mark.parametrize("price", [0.0, 1.0], ids=["no price", "a unit costs more than it gives"])
def test_another_price_does_not(price):
    with pytest.raises(AssertionError):
        check_rank(4, price)

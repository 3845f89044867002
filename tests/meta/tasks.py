"""Tasks whose best hyperparameter is known, for whoever claims to find it: a model, its data, its loss."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsptorch import BoundedHyperparam, Multirate
from dsptorch.functional import width_mask

Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class MetaTask:
    """A model that learns, and one hyperparameter of it that has a right value.

    Attributes:
        model: It holds the hyperparameter.
        hyperparam: What is to be found.
        truth: Where its right value is, in the unit of `found`.
        batch: Draws the next (input, target).
        loss: Of a batch, to be minimised by the hyperparameter and, where they learn, the weights.
        scale: How many units of `truth` one unit of the hyperparameter is.
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

    def weights(self) -> list[nn.Parameter]:
        """What learns beside the hyperparameter."""
        return [p for p in self.model.parameters() if p.requires_grad and p is not self.hyperparam.raw]


def two_scales(generator: torch.Generator, batch: int = 2, time: int = 72, width: int = 2) -> Tensor:
    """A signal on two scales: levels that last nine samples on the average, and noise on them."""
    level = (torch.rand(batch, time, 1, generator=generator) < 1 / 9).cumsum(1)
    levels = torch.randn(batch, time + 1, width, generator=generator)
    return levels.gather(1, level.expand(-1, -1, width)) + 0.3 * torch.randn(
        batch, time, width, generator=generator
    )


def downsampling(
    seed: int, *, truth: int = 4, init: float = 3.0, low: int = 1, high: int = 8, learn_taps: bool = False
) -> MetaTask:
    """Which decimation factor made this? A Multirate block of factor `truth` did, and noise was added.

    The student has the block's filters, or with `learn_taps` learns its own.
    """
    generator = torch.Generator().manual_seed(seed)
    factor = BoundedHyperparam(init, low, high, integer=True)
    teacher, student = (
        Multirate(2, downsample, mix_ratio=0.4, detail_strength=0.75) for downsample in (truth, factor)
    )
    for name in ("low", "recon", "detail"):
        if not learn_taps:
            getattr(student, name).requires_grad_(False).copy_(getattr(teacher, name).detach())

    def batch() -> Batch:
        x = two_scales(generator)
        y = teacher(x).detach()
        return x, y + 0.1 * torch.randn(y.shape, generator=generator)

    def loss(batch: Batch) -> Tensor:
        x, y = batch
        return F.mse_loss(student(x), y)

    return MetaTask(student, factor, truth, batch, loss)


class LowRank(nn.Module):
    """A linear map through a bottleneck of learned width, masked as ChannelBottleneck is."""

    def __init__(self, d_model: int, ratio: BoundedHyperparam) -> None:
        super().__init__()
        self.ratio, self.d_model = ratio, d_model
        self.down = nn.Linear(d_model, d_model, bias=False)
        self.up = nn.Linear(d_model, d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.down(x)
        return self.up(hidden * width_mask(self.ratio() * self.d_model, hidden.shape[-1], hidden))


def rank(
    seed: int, *, truth: int = 4, price: float = 0.05, d_model: int = 16, ridge: float = 4e-3
) -> MetaTask:
    """How wide must the bottleneck be? The target is a map with `truth` equal singular values, the others 0.

    loss = unexplained share of the variance + price * width + ridge * |weights|^2

    A unit too few costs 1 / truth. The ridge keeps the weights from undoing the mask: without it the width
    settles lower, since a unit of mask 0.1 serves as well with weights ten times as large.
    """
    generator = torch.Generator().manual_seed(seed)
    bases = torch.linalg.qr(torch.randn(2, d_model, d_model, generator=generator)).Q
    target = bases[0, :, :truth] @ bases[1, :, :truth].T
    ratio = BoundedHyperparam(0.5, 1 / d_model, 1.0)
    model = LowRank(d_model, ratio)
    for weight in (model.down.weight, model.up.weight):
        weight.data.uniform_(-0.25, 0.25, generator=generator)

    def batch() -> Batch:
        x = torch.randn(64, d_model, generator=generator)
        return x, x @ target.T

    def loss(batch: Batch) -> Tensor:
        x, y = batch
        error = (model(x) - y).square().sum() / y.square().sum()
        size = model.down.weight.square().sum() + model.up.weight.square().sum()
        return error + price * d_model * ratio().sum() + ridge * size

    return MetaTask(model, ratio, truth, batch, loss, scale=d_model)

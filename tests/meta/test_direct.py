"""The direct estimator: the partial derivative, at one batch or as training left it."""

import pytest
import torch
from torch import nn

from dsptorch import BoundedHyperparam
from dsptorch.meta import Direct, MetaController
from tests.meta.models import hypergradients, the_loss


class Gains(nn.Module):
    """Weights, and two hyperparameters in the forward pass: of one value and of three."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.weight = nn.Parameter(torch.randn(3, dtype=torch.float64, generator=generator))
        self.mix = BoundedHyperparam(0.4, 0.2, 0.6, dtype=torch.float64)
        self.gain = BoundedHyperparam(0.5, 0.1, 10.0, log=True, shape=(3,), dtype=torch.float64)

    def forward(self, x):
        return (self.mix() * (self.gain() * self.weight * x).sin() + x).square().sum()


def batches(count):
    return torch.randn(count, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def partials(model, x):
    """By autograd, on the model itself."""
    found = torch.autograd.grad(model(x), [model.mix.raw, model.gain.raw])
    return dict(zip(("mix", "gain"), found, strict=True))


def check_equal(found, expected, rel=1e-12):
    assert set(found) == set(expected)
    for name, gradient in expected.items():
        numbers = gradient.tolist() if gradient.numel() > 1 else gradient.item()
        assert found[name] == pytest.approx(numbers, rel=rel)


@pytest.mark.parametrize("given", [["val_loss"], ["train_loss"], ["val_loss", "train_loss"]], ids=str)
def test_with_a_loss_it_is_the_partial_derivative_of_the_first(given):
    model, (x, other) = Gains(), batches(2)
    losses = [lambda m: m(x), lambda m: m(other)]
    found = hypergradients(Direct(), model, **dict(zip(given, losses, strict=False)))
    check_equal(found, partials(model, x))
    with pytest.raises(AssertionError):
        check_equal(found, partials(model, other))


def check_left_by_training(*, every=3, micro=1, objective=the_loss, factor=lambda mean: 1.0, lost=False):
    """The mean over steps of the sum over micro-batches, of the steps since the last update."""
    model, data = Gains(), batches(2 * every * micro)
    controller = MetaController(model, lr=0.05, every=every, objective=objective)
    optimizer = torch.optim.SGD(controller.inner_param_groups(weight_decay=0.0), lr=0.01)
    for of_update in data.chunk(2):
        found = {"mix": 0.0, "gain": 0.0}
        mean_loss = 0.0
        for of_step in of_update.chunk(every):
            total = 0.0
            for x in of_step:
                for name, gradient in partials(model, x).items():
                    found[name] = found[name] + gradient / every
                loss = model(x)
                total += loss.item()
                if lost:
                    model.zero_grad()
                loss.backward()
            record = controller.step(total)
            mean_loss += total / every
            optimizer.step()
            optimizer.zero_grad()
        expected = {name: factor(mean_loss) * gradient for name, gradient in found.items()}
        check_equal(record["hypergradient"], expected, rel=1e-6)
        assert record["loss"] == pytest.approx(mean_loss, rel=1e-6)


@pytest.mark.parametrize("micro", [1, 4])
@pytest.mark.parametrize("every", [1, 3])
def test_without_a_loss_it_is_the_mean_of_what_training_left(every, micro):
    check_left_by_training(every=every, micro=micro)


def test_the_objective_is_chained_at_the_mean_loss():
    squared = {"objective": lambda losses: losses.loss.square(), "factor": lambda mean: 2 * mean}
    check_left_by_training(**squared)
    check_left_by_training(objective="smoothed_loss", factor=lambda mean: 0.1)
    with pytest.raises(AssertionError):
        check_left_by_training(objective=squared["objective"])


def test_lost_micro_batches_are_caught():
    check_left_by_training(micro=1, lost=True)
    with pytest.raises(AssertionError):
        check_left_by_training(micro=2, lost=True)

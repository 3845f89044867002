"""Small problems whose hypergradients are known, and one meta-update on them."""

import torch
from torch import nn

from dsptorch import BoundedHyperparam
from dsptorch.meta import MetaController, SGDRule


def the_loss(losses):
    """The objective that is the loss itself: its hypergradient has no factor."""
    return losses.loss


def after_update(estimator, model, *, outside=None, optimizer=None, objective=the_loss, **losses):
    """The controller after one meta-update that estimates and moves nothing."""
    controller = MetaController(model, lr=0.0, every=1, objective=objective, estimator=estimator)
    for name, hyperparam in (outside or {}).items():
        controller.add_hyperparam(name, hyperparam)
    if optimizer is not None:
        controller.attach(optimizer)
    controller.step(0.0, **losses)
    return controller


def hypergradients(estimator, model, **arguments):
    """The hypergradients by name."""
    return after_update(estimator, model, **arguments).history[-1]["hypergradient"]


def hypergradient(estimator, model, **arguments):
    """The hypergradient of a problem with one hyperparameter."""
    (found,) = hypergradients(estimator, model, **arguments).values()
    return found


def check_near(found, expected, tolerance):
    """Two numbers, relative to the second."""
    assert abs(found - expected) <= tolerance * abs(expected), f"{found!r}, not {expected!r}"


class Knob(nn.Module):
    """A model that is one hyperparameter."""

    def __init__(self, init=0.5, low=0.0, high=1.0, **kwargs):
        super().__init__()
        self.z = BoundedHyperparam(init, low, high, dtype=torch.float64, **kwargs)


class Forgetful(SGDRule):
    """A planted bug: the graph is cut at every step, so that only the last one is differentiated."""

    def step(self, weights, gradients, state, decayed):
        return super().step({name: w.detach() for name, w in weights.items()}, gradients, state, decayed)


class Bowl(nn.Module):
    """Half of w^2: training brings w from 1 to (1 - lr)^T."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, dtype=torch.float64))

    def forward(self):
        return self.weight.square().sum() / 2


class Ridge(nn.Module):
    """Ridge regression, 1/2 |X w - y|^2 + price / 2 |w|^2, whose weights are known where training ends.

    Args:
        priced: Whether the price is in the training loss; else a rule must bring it, as its weight decay.
    """

    curvatures = torch.tensor([0.5, 1.0, 2.0, 4.0], dtype=torch.float64)  # the eigenvalues of X'X

    def __init__(self, priced=True):
        super().__init__()
        generator = torch.Generator().manual_seed(0)

        def normal(*shape):
            return torch.randn(shape, dtype=torch.float64, generator=generator)

        self.x = torch.linalg.qr(normal(20, 4))[0] * self.curvatures.sqrt()
        self.x = self.x @ torch.linalg.qr(normal(4, 4))[0]
        self.y, self.x_val, self.y_val = normal(20, 1), normal(10, 4), normal(10, 1)
        self.price = BoundedHyperparam(0.3, 0.01, 10.0, log=True, dtype=torch.float64)
        self.weight = nn.Parameter(torch.zeros(4, 1, dtype=torch.float64))
        self.priced = priced

    def train_loss(self):
        penalty = self.price() / 2 * self.weight.square().sum() if self.priced else 0.0
        return (self.x @ self.weight - self.y).square().sum() / 2 + penalty

    def val_loss(self, weight=None):
        return (self.x_val @ (self.weight if weight is None else weight) - self.y_val).square().sum() / 2

    def losses(self):
        """What a controller's step takes."""
        return {"train_loss": lambda m: m.train_loss().sum(), "val_loss": lambda m: m.val_loss()}

    def optimum(self):
        """Where training ends: (X'X + price)^-1 X'y."""
        hessian = self.x.T @ self.x + self.price() * torch.eye(4, dtype=torch.float64)
        return torch.linalg.solve(hessian, self.x.T @ self.y)

    def at_optimum(self):
        """Move the weights there."""
        self.weight.data = self.optimum().detach()
        return self

    def by_price(self, value):
        """The derivative of a value by the price's raw value."""
        return torch.autograd.grad(value, self.price.raw)[0].item()

    def closed_form(self):
        """The hypergradient, through the linear system and not through training."""
        return self.by_price(self.val_loss(self.optimum()))

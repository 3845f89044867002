"""Small problems whose hypergradients are known, and one meta-update on them."""

import math

import torch
from torch import nn

from dsptorch import BoundedHyperparam
from dsptorch.meta import MetaController


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


class Bowl(nn.Module):
    """Half of w^2: training brings w from 1 to (1 - lr)^T."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, dtype=torch.float64))

    def forward(self):
        return self.weight.square().sum() / 2


class Ridge(nn.Module):
    """Ridge regression, 1/2 |X w - y|^2 + price / 2 |w|^2, and all that can be said of it in closed form.

    Args:
        curvatures: The eigenvalues of X'X.
        priced: Whether the price is in the training loss; else a rule must bring it, as its weight decay.
    """

    low, high = 0.01, 10.0

    def __init__(self, curvatures=(0.5, 1.0, 2.0, 4.0), priced=True):
        super().__init__()
        generator = torch.Generator().manual_seed(0)

        def normal(*shape):
            return torch.randn(shape, dtype=torch.float64, generator=generator)

        dim = len(curvatures)
        self.x = torch.linalg.qr(normal(20, dim))[0] * torch.tensor(curvatures, dtype=torch.float64).sqrt()
        self.x = self.x @ torch.linalg.qr(normal(dim, dim))[0]
        self.y, self.x_val, self.y_val = normal(20, 1), normal(10, dim), normal(10, 1)
        self.price = BoundedHyperparam(0.3, self.low, self.high, log=True, dtype=torch.float64)
        self.weight = nn.Parameter(torch.zeros(dim, 1, dtype=torch.float64))
        self.priced = priced

    def train_loss(self):
        penalty = self.price() / 2 * self.weight.square().sum() if self.priced else 0.0
        return (self.x @ self.weight - self.y).square().sum() / 2 + penalty

    def val_loss(self, weight=None):
        return (self.x_val @ (self.weight if weight is None else weight) - self.y_val).square().sum() / 2

    def losses(self):
        """What a controller's step takes."""
        return {"train_loss": lambda m: m.train_loss().sum(), "val_loss": lambda m: m.val_loss()}

    def hessian(self, price):
        return self.x.T @ self.x + price * torch.eye(len(self.weight), dtype=torch.float64)

    def optimum(self, price):
        return torch.linalg.solve(self.hessian(price), self.x.T @ self.y)

    def at_optimum(self):
        """Move the weights to where training ends."""
        self.weight.data = self.optimum(self.price.value)
        return self

    @property
    def slope(self):
        """The derivative of the price by its raw value: by the formula, not by autograd."""
        position = math.log(self.price.value.item() / self.low) / math.log(self.high / self.low)
        return self.price.value.item() * math.log(self.high / self.low) * position * (1 - position)

    def closed_form(self):
        """d val_loss(w*) / d raw = -(dL_val/dw)' H^-1 w*, times the slope of the price."""
        price = self.price.value
        optimum = self.optimum(price)
        outer = self.x_val.T @ (self.x_val @ optimum - self.y_val)
        return -(outer.T @ torch.linalg.solve(self.hessian(price), optimum)).item() * self.slope

    def finite_difference(self, step=1e-5):
        """The same by central differences, of the formula of a price on a logarithmic scale."""
        raw = self.price.raw.item()
        shares = [1 / (1 + math.exp(-r)) for r in (raw + step, raw - step)]
        prices = [self.low * (self.high / self.low) ** share for share in shares]
        above, below = (self.val_loss(self.optimum(price)).item() for price in prices)
        return (above - below) / (2 * step)

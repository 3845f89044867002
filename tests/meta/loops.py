"""An ordinary training loop with a controller in it, and all that there is to see of it."""

import copy
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from dsptorch import BoundedHyperparam
from dsptorch.meta import AdamRule, Direct, EvolutionStrategy, Implicit, MetaController, SGDRule, Unroll


class Net(nn.Module):
    """An MLP with a learned temperature, and with all that a failed update could leave changed."""

    def __init__(self, temperature=1.0, dropout=0.2):
        super().__init__()
        self.first, self.last = nn.Linear(4, 8), nn.Linear(8, 1)
        self.norm, self.dropout = nn.BatchNorm1d(8), nn.Dropout(dropout)
        self.temperature = BoundedHyperparam(temperature, 0.1, 10.0, log=True)
        self.register_buffer("largest", torch.zeros(()))

    def forward(self, x):
        h = self.norm(self.first(x))
        self.largest = torch.maximum(
            self.largest, h.detach().abs().max()
        )  # assigned: another tensor each time
        return self.last(self.dropout(torch.tanh(h / self.temperature())))


def loss_of(model):
    """A loss on a batch that torch's generator draws."""
    x = torch.randn(16, 4)
    return (model(x) - x.sum(dim=1, keepdim=True).sin()).square().mean()


def knobs(estimator):
    """The controller's hyperparameters outside the model: those that the estimator can learn."""
    decay, dropout = BoundedHyperparam(0.1, 0.001, 1.0, log=True), BoundedHyperparam(0.2, 0.0, 0.6)
    make = {
        "accumulated": lambda: (Direct(), []),
        "direct": lambda: (Direct(), []),
        "unroll": lambda: (Unroll(SGDRule(lr=0.1, weight_decay=decay), steps=2), ["decay"]),
        "implicit": lambda: (Implicit(SGDRule(lr=0.1, weight_decay=decay), terms=3), ["decay"]),
        "es": lambda: (
            EvolutionStrategy(AdamRule(lr=0.01, weight_decay=decay), horizon=2, pairs=2),
            ["decay", "dropout"],
        ),
    }
    found, names = make[estimator]()
    return found, {name: {"decay": decay, "dropout": dropout}[name] for name in names}


ESTIMATORS = ["accumulated", "direct", "unroll", "implicit", "es"]


class Run:
    """A model, its optimizer, and a controller, in a loop.

    Args:
        estimator: One of ESTIMATORS; None for a loop without a controller.
        micro: Batches per step of the optimizer.
    """

    def __init__(self, estimator="direct", *, seed=0, micro=1, model=None, **kwargs):
        torch.manual_seed(seed)
        self.model, self.micro, self.name = model or Net(), micro, estimator
        groups, self.controller = self.model.parameters(), None
        if estimator is not None:
            found, self.knobs = knobs(estimator)
            arguments = {"every": 2, "estimator": found} | kwargs
            self.controller = MetaController(self.model, **arguments)
            groups = self.controller.inner_param_groups(weight_decay=0.1)
        self.optimizer = torch.optim.AdamW(groups, lr=0.01)
        if estimator is not None:
            self.controller.attach(self.optimizer)
            for name, hyperparam in self.knobs.items():
                self.controller.add_hyperparam(name, hyperparam, getattr(self, f"set_{name}"))

    def set_decay(self, value):
        self.optimizer.param_groups[0]["weight_decay"] = value

    def set_dropout(self, value):
        self.model.dropout.p = value

    def train(self, spoil=None):
        """A step of training; `spoil` may change the gradients before the optimizer sees them."""
        total = 0.0
        for _ in range(self.micro):
            loss = loss_of(self.model) / self.micro
            loss.backward()
            total += loss.detach()
        if spoil is not None:
            spoil(self.model)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return total

    def losses(self, val_loss=loss_of):
        """The functions that the controller takes beside the loss."""
        if self.name == "accumulated":
            return {}
        if self.name == "direct":
            return {"val_loss": val_loss}
        return {"train_loss": loss_of, "val_loss": val_loss}

    def step(self, val_loss=loss_of):
        """A step of training and one of the controller."""
        loss = self.train()
        return None if self.controller is None else self.controller.step(loss, **self.losses(val_loss))

    def steps(self, number):
        """So many of both."""
        for _ in range(number):
            self.step()
        return self

    def seen(self):
        """All that can be seen of it, copied."""
        hyperparams = {} if self.controller is None else self.controller.hyperparams
        return copy.deepcopy(
            {
                "model": self.model.state_dict(),
                "modes": [module.training for module in self.model.modules()],
                "gradients": {name: p.grad for name, p in self.model.named_parameters()},
                "outer gradients": {name: h.raw.grad for name, h in hyperparams.items()},
                "outer values": {name: h.raw.detach() for name, h in hyperparams.items()},
                "dropout": self.model.dropout.p,
                "optimizer": self.optimizer.state_dict(),
                "controller": None if self.controller is None else self.controller.state_dict(),
                "generator": torch.get_rng_state(),
            }
        )


def check_alike(found, expected, where="run"):
    """Two nests of values are the same, bit for bit."""
    assert type(found) is type(expected), f"{where}: {found!r}, not {expected!r}"
    if isinstance(found, dict):
        assert list(found) == list(expected), f"{where}: {list(found)}, not {list(expected)}"
        for key, value in found.items():
            check_alike(value, expected[key], f"{where}.{key}")
    elif isinstance(found, (list, tuple)):
        assert len(found) == len(expected), f"{where}: {len(found)}, not {len(expected)}"
        for index, (one, other) in enumerate(zip(found, expected, strict=True)):
            check_alike(one, other, f"{where}.{index}")
    elif isinstance(found, Tensor):
        assert found.dtype == expected.dtype, where
        assert torch.equal(found, expected), f"{where}: {found}, not {expected}"
    else:
        assert found == expected, f"{where}: {found!r}, not {expected!r}"


def nothing(*_, **__):
    """A context that keeps nothing as it was: the planted bug."""
    return nullcontext()

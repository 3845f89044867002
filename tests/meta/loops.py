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
        # Assigned: another tensor each time.
        self.largest = torch.maximum(self.largest, h.detach().abs().max())
        return self.last(self.dropout(torch.tanh(h / self.temperature())))


def knob():
    """A hyperparameter of no model."""
    return BoundedHyperparam(0.3, 0.0, 1.0)


def loss_of(model):
    """A loss on a batch that torch's generator draws."""
    x = torch.randn(16, 4)
    return (model(x) - x.sum(dim=1, keepdim=True).sin()).square().mean()


_MAKE = {
    "accumulated": lambda decay: Direct(),
    "direct": lambda decay: Direct(),
    "unroll": lambda decay: Unroll(SGDRule(lr=0.1, weight_decay=decay), steps=2),
    "implicit": lambda decay: Implicit(SGDRule(lr=0.1, weight_decay=decay), terms=3),
    "es": lambda decay: EvolutionStrategy(AdamRule(lr=0.01, weight_decay=decay), horizon=2, pairs=2),
}
ESTIMATORS = list(_MAKE)


class Run:
    """A model, its optimizer, and a controller, in a loop.

    Args:
        estimator: One of ESTIMATORS, which brings the hyperparameters outside the model that it can learn
            (`knobs`); None for a loop without a controller.
    """

    def __init__(self, estimator="direct", *, seed=0, **kwargs):
        torch.manual_seed(seed)
        self.model, self.name, self.controller = Net(), estimator, None
        groups = self.model.parameters()
        if estimator is not None:
            self.knobs = {"decay": BoundedHyperparam(0.1, 0.001, 1.0, log=True)}
            arguments = {"every": 2, "estimator": _MAKE[estimator](self.knobs["decay"])} | kwargs
            self.controller = MetaController(self.model, **arguments)
            groups = self.controller.inner_param_groups(weight_decay=0.1)
        self.optimizer = torch.optim.AdamW(groups, lr=0.01)
        if estimator is not None:
            self.controller.attach(self.optimizer)
            if estimator == "es":
                self.knobs["dropout"] = BoundedHyperparam(0.2, 0.0, 0.6)
            elif estimator in ("accumulated", "direct"):
                self.knobs = {}
            for name, hyperparam in self.knobs.items():
                self.controller.add_hyperparam(name, hyperparam, getattr(self, f"set_{name}"))

    def set_decay(self, value):
        self.optimizer.param_groups[0]["weight_decay"] = value

    def set_dropout(self, value):
        self.model.dropout.p = value

    def train(self):
        """A step of training."""
        loss = loss_of(self.model)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.detach()

    def losses(self, val_loss=loss_of):
        """The functions that the controller takes beside the loss."""
        if self.name == "accumulated":
            return {}
        return {"val_loss": val_loss} | ({} if self.name == "direct" else {"train_loss": loss_of})

    def step(self, val_loss=loss_of):
        """A step of training and one of the controller."""
        loss = self.train()
        return None if self.controller is None else self.controller.step(loss, **self.losses(val_loss))

    def steps(self, number):
        """So many of both."""
        for _ in range(number):
            self.step()
        return self

    def failing_setter(self, name, at=None):
        """Let a setter count its calls in the list that is returned, and fail at one of them."""
        real, calls = self.controller._outer._setters[name], []

        def setter(value):
            calls.append(value)
            if len(calls) == at:
                raise ZeroDivisionError
            real(value)

        self.controller._outer._setters[name] = setter
        return calls

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
        check_alike(dict(enumerate(found)), dict(enumerate(expected)), where)
    elif isinstance(found, Tensor):
        assert found.dtype == expected.dtype, where
        assert torch.equal(found, expected), f"{where}: {found}, not {expected}"
    else:
        assert found == expected, f"{where}: {found!r}, not {expected!r}"


def nothing(*_, **__):
    """A context that keeps nothing as it was: the planted bug."""
    return nullcontext()


def history(
    wrap=lambda net: net,
    loss=loss_of,
    *,
    with_val=True,
    steps=6,
    scaler=None,
    told=True,
    reduce=lambda gradients: None,
    **kwargs,
):
    """The records of a run by plain gradient descent: wrapped, scaled, or in one process of several.

    The controller is given the loss, `with_val`, and the scaler, if `told`; `reduce` gets the gradients of
    the weights before the optimizer does.
    """
    torch.manual_seed(0)
    model = wrap(Net(dropout=0.0))
    controller = MetaController(model, scaler=scaler if told else None, **{"every": 2} | kwargs)
    optimizer = torch.optim.SGD(controller.inner_param_groups(weight_decay=0.0), lr=0.1)
    scaler = scaler or torch.amp.GradScaler("cpu", enabled=False)
    for _ in range(steps):
        now = loss(model)
        scaler.scale(now).backward()
        reduce([p.grad for group in optimizer.param_groups for p in group["params"]])
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        controller.step(now, **({"train_loss": loss, "val_loss": loss} if with_val else {}))
    assert list(controller.hyperparams) == ["temperature"]
    assert len(controller.history) == steps // controller.schedule.every
    return controller.history

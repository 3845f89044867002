"""A loss may put the model into eval mode: the losses after it do not notice."""

import pytest
import torch
from torch import nn
from torch.func import functional_call

from dsptorch import BoundedHyperparam, MetaController
from dsptorch.meta import EvolutionStrategy, Implicit, MetaStep, SGDRule, Unroll

RULE = SGDRule(lr=0.1)


class Noisy(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 1))
        self.gain = BoundedHyperparam(0.5, 0.0, 1.0)

    def forward(self, x):
        return self.gain() * self.net(x)


def check_modes(estimator):
    """Every training loss of two updates is in train mode, and so is the model after them."""
    torch.manual_seed(0)
    model, x, modes = Noisy(), torch.randn(4, 3), []
    controller = MetaController(model, every=1, estimator=estimator)

    def train_loss(m):
        modes.append([module.training for module in m.modules()])
        return m(x).square().mean()

    for _ in range(2):
        controller.step(0.0, train_loss=train_loss, val_loss=lambda m: m.eval()(x).square().mean())
    assert modes
    assert all(all(training) for training in modes)
    assert all(module.training for module in model.modules())


ESTIMATORS = [Unroll(RULE, steps=2), Implicit(RULE), EvolutionStrategy(RULE, horizon=2, pairs=1)]


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda estimator: type(estimator).__name__)
def test_an_eval_that_is_not_undone_reaches_no_other_loss(estimator):
    check_modes(estimator)


def test_one_that_does_is_caught(monkeypatch):
    def forgetful(self, function, *, raws, weights=None, buffers=None):
        inside = {f"model.{name}": tensor for name, tensor in ((weights or {}) | (buffers or {})).items()}
        inside |= {f"model.{name}.raw": raw for name, raw in raws.items()}
        return functional_call(self.scope, inside, (function,))

    monkeypatch.setattr(MetaStep, "run", forgetful)
    with pytest.raises(AssertionError):
        check_modes(Implicit(RULE))  # it takes the validation loss first

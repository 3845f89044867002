"""A step refuses what it cannot learn from, with what was expected, what came, and what to do."""

import pytest
import torch
from torch import nn

from dsptorch import BoundedHyperparam
from dsptorch.meta import AdamRule, EvolutionStrategy, Implicit, MetaController, SGDRule, Unroll
from tests.meta.loops import Net, loss_of


def knob():
    return BoundedHyperparam(0.3, 0.0, 1.0)


@pytest.mark.parametrize(
    ("estimator", "losses", "missing"),
    [
        (Unroll(SGDRule(lr=0.1)), {"val_loss": loss_of}, "Unroll needs train_loss"),
        (Implicit(SGDRule(lr=0.1)), {"val_loss": loss_of}, "Implicit needs train_loss"),
        (Implicit(SGDRule(lr=0.1)), {"train_loss": loss_of}, "Implicit needs val_loss"),
        (EvolutionStrategy(), {"train_loss": loss_of}, "EvolutionStrategy needs val_loss"),
        (
            EvolutionStrategy(AdamRule(lr=0.1), horizon=2),
            {"val_loss": loss_of},
            "EvolutionStrategy needs train_l",
        ),
    ],
)
def test_what_an_estimator_misses_is_said_at_the_first_step(estimator, losses, missing):
    controller = MetaController(Net(), every=100, estimator=estimator)
    with pytest.raises(ValueError, match=missing + r".*, got none; give controller\.step\(loss, "):
        controller.step(0.5, **losses)


def test_nothing_to_learn_is_said_at_the_first_step():
    with pytest.raises(ValueError, match=r"nothing to learn.*none was added; put one"):
        MetaController(nn.Linear(2, 2)).step(0.5)
    with pytest.raises(
        ValueError, match=r"rule's lr is a BoundedHyperparam .*controller\.add_hyperparam\(\"lr\""
    ):
        MetaController(Net(), estimator=Unroll(SGDRule(lr=knob()))).step(0.5, train_loss=loss_of)


@pytest.mark.parametrize(
    ("loss", "kind", "message"),
    [
        (torch.ones(2), ValueError, r"loss must be one real number, got shape \(2,\).*take its mean"),
        (torch.ones(1, dtype=torch.complex64), ValueError, "loss must be one real number, .*complex64"),
        ("0.5", TypeError, "loss must be a number or a tensor of one element, got str"),
        (None, TypeError, "loss must be a number or a tensor of one element, got NoneType"),
    ],
)
def test_a_loss(loss, kind, message):
    with pytest.raises(kind, match=message):
        MetaController(Net()).step(loss)


@pytest.mark.parametrize(
    ("val_loss", "kind", "message"),
    [
        (0.5, TypeError, r"val_loss must be a function of the model, got float; give val_loss=lambda m"),
        (
            lambda m: loss_of(m).item(),
            TypeError,
            r"val_loss must return a tensor .*got float; .*not loss\.item",
        ),
        (lambda m: None, TypeError, "val_loss must return a tensor .*got NoneType"),
        (lambda m: m(torch.randn(4, 4)), ValueError, r"val_loss must return one real .*shape \(4, 1\)"),
        (lambda m: loss_of(m).detach(), ValueError, r"carries a gradient, got one without; .*no_grad"),
        (torch.no_grad()(loss_of), ValueError, "carries a gradient, got one without"),
        (lambda m: m.first.weight.sum(), ValueError, "Direct has no path to temperature: it does not enter"),
    ],
)
def test_a_val_loss(val_loss, kind, message):
    with pytest.raises(kind, match=message):
        MetaController(Net(), every=1).step(0.5, val_loss=val_loss)


@pytest.mark.parametrize(
    ("objective", "kind", "message"),
    [
        (lambda losses: losses.loss.item(), TypeError, "objective must return one real .*got float; see"),
        (lambda losses: losses.loss.expand(3), TypeError, r"objective must return .*got shape \(3,\)"),
        (lambda losses: losses.ema, ValueError, r"objective must be differentiable.*losses\.loss"),
    ],
)
@pytest.mark.parametrize("losses", [{}, {"val_loss": loss_of}], ids=["of training", "of validation"])
def test_what_an_objective_returns(objective, kind, message, losses):
    with pytest.raises(kind, match=message):
        MetaController(Net(), every=1, objective=objective).step(0.5, **losses)


class Unused(Net):
    """It holds a hyperparameter that no forward pass reads."""

    def __init__(self):
        super().__init__()
        self.unused = knob()


@pytest.mark.parametrize(
    ("estimator", "losses"),
    [
        ("direct", {}),
        ("direct", {"val_loss": loss_of}),
        ("es", {"val_loss": loss_of}),
        (Unroll(SGDRule(lr=0.1)), {"train_loss": loss_of}),
        (Implicit(SGDRule(lr=0.1)), {"train_loss": loss_of, "val_loss": loss_of}),
    ],
)
def test_a_hyperparameter_without_a_path(estimator, losses):
    model = Unused()
    controller = MetaController(model, every=1, estimator=estimator)
    loss = loss_of(model)
    loss.backward()
    with pytest.raises(ValueError, match=r"has no path to unused: .+(use|loss)"):
        controller.step(loss, **losses)
    assert MetaController(model, every=1, hyperparams=["temperature"]).step(loss, val_loss=loss_of)


def check_refuses_others(optimizer_of):
    """A hyperparameter that another optimizer steps is refused, by name."""
    model = Net()
    controller = MetaController(model, every=2)
    optimizer = optimizer_of(model, controller)
    with pytest.raises(RuntimeError, match=r"temperature as the controller left it.*inner_param_groups"):
        _train(model, controller, optimizer)


def _train(model, controller, optimizer):
    for _ in range(4):
        optimizer.zero_grad()
        loss = loss_of(model)
        loss.backward()
        optimizer.step()
        controller.step(loss, val_loss=loss_of)


def test_somebody_else_who_steps_a_hyperparameter():
    check_refuses_others(lambda model, _: torch.optim.AdamW(model.parameters(), lr=0.01))
    with pytest.raises(pytest.fail.Exception):
        check_refuses_others(lambda _, c: torch.optim.AdamW(c.inner_param_groups(weight_decay=0.1), lr=0.01))


@pytest.mark.parametrize("estimator", ["direct", "es"])
def test_a_hyperparameter_that_was_replaced(estimator):
    model = Net()
    controller = MetaController(model, every=1, estimator=estimator)
    controller.step(0.5, val_loss=loss_of)
    model.temperature = knob()
    with pytest.raises(RuntimeError, match=r"expected temperature in the model, .*make a new controller"):
        controller.step(0.5, val_loss=loss_of)


def test_one_that_a_later_loss_does_not_read_stays():
    """Adam's average would carry it on."""
    model = Unused()
    controller = MetaController(model, every=1)

    def both(m):
        return loss_of(m) + m.unused().sum()

    controller.step(0.5, val_loss=both)
    unused, temperature = model.unused.value, model.temperature.value
    controller.step(0.5, val_loss=loss_of)
    assert model.unused.value == unused
    assert model.temperature.value != temperature


@pytest.mark.parametrize("estimator", [Unroll(SGDRule(lr=0.1)), Implicit(SGDRule(lr=0.1))])
def test_a_model_whose_weights_are_all_frozen(estimator):
    model = Net()
    for layer in (model.first, model.last, model.norm):
        layer.requires_grad_(False)
    controller = MetaController(model, every=1, estimator=estimator)
    with pytest.raises(ValueError, match="expected weights that train, got none"):
        controller.step(0.5, train_loss=loss_of, val_loss=loss_of)

"""A step refuses what it cannot learn from, with what was expected, what came, and what to do."""

import pytest
import torch
from torch import nn

from dsptorch.meta import AdamRule, EvolutionStrategy, Implicit, MetaController, SGDRule, Unroll
from tests.meta.loops import Net, knob, loss_of

RULE = SGDRule(lr=0.1)


@pytest.mark.parametrize(
    ("estimator", "given", "missing"),
    [
        (Unroll(RULE), "val_loss", "Unroll needs train_loss"),
        (Implicit(RULE), "val_loss", "Implicit needs train_loss"),
        (Implicit(RULE), "train_loss", "Implicit needs val_loss"),
        (EvolutionStrategy(), "train_loss", "EvolutionStrategy needs val_loss"),
        (EvolutionStrategy(AdamRule(lr=0.1), horizon=2), "val_loss", "EvolutionStrategy needs train_l"),
    ],
)
def test_what_an_estimator_misses_is_said_at_the_first_step(estimator, given, missing):
    controller = MetaController(Net(), every=100, estimator=estimator)
    with pytest.raises(ValueError, match=missing + r".*, got none; give controller\.step\(loss, "):
        controller.step(0.5, **{given: loss_of})


def test_nothing_to_learn_is_said_at_the_first_step():
    with pytest.raises(ValueError, match=r"nothing to learn.*none was added; put one"):
        MetaController(nn.Linear(2, 2)).step(0.5)
    told = r"rule's lr is a BoundedHyperparam .*controller\.add_hyperparam\(\"lr\""
    with pytest.raises(ValueError, match=told):
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
        (lambda m: loss_of(m).item(), TypeError, r"must return a tensor .*got float; .*not loss\.item"),
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
    ("estimator", "losses", "hint"),
    [
        ("direct", [], "EvolutionStrategy or Unroll"),
        ("direct", ["val_loss"], "EvolutionStrategy or Unroll"),
        ("es", ["val_loss"], "the loss is the same"),
        (Unroll(RULE), ["train_loss"], "use EvolutionStrategy"),
        (Implicit(RULE), ["train_loss", "val_loss"], "use EvolutionStrategy"),
    ],
)
def test_a_hyperparameter_without_a_path(estimator, losses, hint):
    model = Unused()
    controller = MetaController(model, every=1, estimator=estimator)
    loss = loss_of(model)
    loss.backward()
    with pytest.raises(ValueError, match=f"has no path to unused: .*{hint}"):
        controller.step(loss, **dict.fromkeys(losses, loss_of))
    assert MetaController(model, every=1, hyperparams=["temperature"]).step(loss, val_loss=loss_of)


def check_others_are_refused(params_of):
    """A hyperparameter that another optimizer steps is refused, by name."""
    model = Net()
    controller = MetaController(model, every=2)
    optimizer = torch.optim.AdamW(params_of(model, controller), lr=0.01)
    for step in range(2):
        loss = loss_of(model)
        loss.backward()
        optimizer.step()
        if step == 0:
            controller.step(loss, val_loss=loss_of)
    with pytest.raises(RuntimeError, match=r"temperature as the controller left it.*inner_param_groups"):
        controller.step(loss, val_loss=loss_of)


def test_somebody_else_who_steps_a_hyperparameter():
    check_others_are_refused(lambda model, _: model.parameters())
    with pytest.raises(pytest.fail.Exception):
        check_others_are_refused(lambda _, controller: controller.inner_param_groups(weight_decay=0.1))


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
    controller.step(0.5, val_loss=lambda m: loss_of(m) + m.unused().sum())
    unused, temperature = model.unused.value, model.temperature.value
    controller.step(0.5, val_loss=loss_of)
    assert model.unused.value == unused
    assert model.temperature.value != temperature


@pytest.mark.parametrize("estimator", [Unroll(RULE), Implicit(RULE)])
def test_a_model_whose_weights_are_all_frozen(estimator):
    model = Net().requires_grad_(False)
    model.temperature.requires_grad_(True)
    controller = MetaController(model, every=1, estimator=estimator)
    with pytest.raises(ValueError, match="expected weights that train, got none"):
        controller.step(0.5, train_loss=loss_of, val_loss=loss_of)

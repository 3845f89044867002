"""Bad input gets an error that says what was expected, what came, and what to do."""

import copy

import pytest
import torch
from torch import nn

from dsptorch.meta import (
    STUDY_SETTINGS,
    AdamRule,
    Direct,
    EvolutionStrategy,
    Implicit,
    MetaController,
    SGDRule,
    Unroll,
)
from tests.meta.loops import Net, Run, knob, loss_of

RULE = SGDRule(lr=0.1)


@pytest.mark.parametrize(
    ("argument", "value", "kind", "message"),
    [
        ("lr", -0.1, ValueError, r"lr must be a finite number in \[0, inf\), got -0\.1"),
        ("lr", float("nan"), ValueError, "lr must be a finite number .*got nan"),
        ("lr", float("inf"), ValueError, "lr must be a finite number .*got inf"),
        ("lr", "0.1", TypeError, "lr must be a number, got '0.1' of type str"),
        ("lr", torch.tensor(0.1), TypeError, "lr must be a number, got .*Tensor"),
        ("ema_decay", 1.0, ValueError, r"ema_decay must be a finite number in \[0, 1\), got 1"),
        ("ema_decay", True, TypeError, "ema_decay must be a number, got True of type bool"),
        ("every", 0, ValueError, "every must be at least 1, got 0"),
        ("every", 2.0, TypeError, "every must be an int, got 2.0"),
        ("warmup", -1, ValueError, "warmup must be at least 0, got -1"),
        ("freeze_at", -1, ValueError, "freeze_at must be at least 0, got -1"),
        ("freeze_at", "end", TypeError, "freeze_at must be an int, got "),
        ("total_steps", 0, ValueError, "total_steps must be at least 1, got 0"),
        ("seed", -1, ValueError, "seed must be at least 0"),
        ("seed", None, TypeError, "seed must be an int"),
        ("objective", "loss", ValueError, "objective must be .* one of smoothed_loss, .*got 'loss'"),
        ("objective", 3, TypeError, "objective must be a name or a function of Losses, got 3"),
        ("estimator", "newton", ValueError, "must be 'direct', 'es' or an object, got 'newton'"),
        ("estimator", "unroll", ValueError, r"needs the rule .*Unroll\(SGDRule\(lr="),
        ("estimator", "implicit", ValueError, r"needs the rule .*Implicit\(SGDRule\(lr="),
        ("estimator", Direct, TypeError, "estimator must be .*an object .*as in"),
        ("estimator", None, TypeError, "estimator must be .*got None"),
        ("hyperparams", "temperature", TypeError, r"a list of names.*give \['temperature'\]"),
        ("hyperparams", 3, TypeError, "a list of names, or None for all, got int"),
        ("hyperparams", ["temp"], ValueError, "got 'temp'; there are: temperature"),
        ("hyperparams", [3], ValueError, "got 3; there are: temperature"),
        ("scaler", 2.0, TypeError, r"scaler must be a torch\.amp\.GradScaler or None, got float"),
        ("process_group", "world", TypeError, r"process_group must be of torch\.distributed, got str"),
    ],
)
def test_an_argument(argument, value, kind, message):
    with pytest.raises(kind, match=message):
        MetaController(Net(), **{argument: value})


def test_a_model():
    with pytest.raises(TypeError, match=r"model must be a torch\.nn\.Module, got list"):
        MetaController([Net()])
    frozen = Net()
    frozen.temperature.freeze()
    with pytest.raises(ValueError, match=r"'temperature' is frozen; .*requires_grad_\(\)"):
        MetaController(frozen, hyperparams=["temperature"])
    assert MetaController(frozen).hyperparams == {}


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ((3, knob()), TypeError, "name must be a string, got 3 of type int"),
        (("a", 0.3), TypeError, "hyperparam must be a BoundedHyperparam, got float"),
        (("a", knob(), 0.3), TypeError, "setter must be a function of the value, or None, got float"),
        (("a", knob().freeze()), ValueError, "'a' is frozen; leave it out"),
        (("temperature", knob()), ValueError, "'temperature' is learned already; learned are: temperature"),
        (("lr", knob(), print), ValueError, "Direct has no path to 'lr', .*use EvolutionStrategy"),
    ],
)
def test_add_hyperparam(arguments, kind, message):
    controller = MetaController(Net())
    with pytest.raises(kind, match=message):
        controller.add_hyperparam(*arguments)
    assert list(controller.hyperparams) == ["temperature"]


def test_an_added_hyperparam_that_is_in_the_model_or_comes_too_late_or_fails():
    run = Run("direct")
    with pytest.raises(ValueError, match="'warmth' is learned already"):
        run.controller.add_hyperparam("warmth", run.model.temperature)
    run.optimizer.add_param_group({"params": list((mine := knob()).parameters())})
    with pytest.raises(ValueError, match="optimizer of the weights alone, got one that also steps mine"):
        run.controller.add_hyperparam("mine", mine)
    run.step()
    with pytest.raises(ValueError, match="must come before the first step, got 'late' after 1; call it"):
        run.controller.add_hyperparam("late", knob())
    with pytest.warns(UserWarning, match=r"0 updates .*temperature \(0 %\)"):
        controller = MetaController(Net(), estimator="es", total_steps=10)
    with pytest.warns(UserWarning, match="bad"), pytest.raises(ZeroDivisionError):
        controller.add_hyperparam("bad", knob(), lambda p: p / 0)
    with pytest.raises(UserWarning, match="cannot move"):
        controller.add_hyperparam("slow", knob())
    assert list(controller.hyperparams) == ["temperature"]


def test_an_optimizer():
    model = Net()
    controller = MetaController(model)
    with pytest.raises(
        ValueError, match="weights alone, got one that also steps temperature; make it of contr"
    ):
        controller.attach(torch.optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(TypeError, match=r"optimizer must be a torch\.optim\.Optimizer, got list"):
        controller.attach([])


def test_a_copy():
    with pytest.raises(TypeError, match=r"cannot be copied.*load_state_dict\(controller\.state_dict\(\)\)"):
        copy.deepcopy(Run("es").controller)


def test_the_papers_numbers_cannot_move_and_the_defaults_can():
    told = r"40 updates of lr=0\.0001 cannot move .*temperature \(0\.1 %\); raise lr"
    with pytest.warns(UserWarning, match=told):
        MetaController(Net(), total_steps=4_000, **STUDY_SETTINGS)
    with pytest.warns(UserWarning, match="0 updates"):
        MetaController(Net(), total_steps=1_000, freeze_at=100, warmup=100)
    MetaController(Net(), total_steps=1_000)
    MetaController(Net(), **STUDY_SETTINGS)


# A step


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


@pytest.mark.parametrize("horizon", [0, 2])
def test_a_setter_that_reaches_nothing(horizon):
    estimator = EvolutionStrategy(RULE if horizon else None, horizon=horizon)
    controller = MetaController(Net(), every=1, estimator=estimator)
    controller.add_hyperparam("dropout", knob(), lambda p: None)
    told = f"no path to dropout: the loss is the same for any value.*{'setter' if horizon else 'give a rule'}"
    with pytest.raises(ValueError, match=told):
        controller.step(0.5, train_loss=loss_of, val_loss=loss_of)


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

"""Bad input gets an error that says what was expected, what came, and what to do."""

import copy

import pytest
import torch

from dsptorch.meta import STUDY_SETTINGS, Direct, MetaController
from tests.meta.loops import Net, Run, knob


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

"""A run that is cut off and resumed is the run that was not, bit for bit."""

import copy
import io
import warnings

import pytest
import torch

from dsptorch import BoundedHyperparam
from dsptorch.meta import MetaController
from tests.meta.loops import ESTIMATORS, Net, Run, check_alike


def through_a_file(state):
    """Save and load, as a checkpoint does."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def resumed(run, change=lambda state: state, **kwargs):
    """A new process that goes on from a checkpoint."""
    parts = {"model": run.model, "optimizer": run.optimizer, "controller": run.controller}
    checkpoint = through_a_file({name: part.state_dict() for name, part in parts.items()})
    generator = torch.get_rng_state()
    other = Run(run.name, seed=99, **kwargs)
    other.model.load_state_dict(checkpoint["model"])
    other.optimizer.load_state_dict(checkpoint["optimizer"])
    other.controller.load_state_dict(change(checkpoint["controller"]))
    torch.set_rng_state(generator)
    return other


def check_resume(estimator, at, change=lambda state: state):
    whole = Run(estimator).steps(8).seen()
    run = resumed(Run(estimator).steps(at), change)
    check_alike(run.steps(8 - at).seen(), whole)
    assert len(run.controller.history) == 4


@pytest.mark.parametrize("at", [0, 1, 2, 5])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_resumed_run_is_the_run(estimator, at):
    check_resume(estimator, at)


def without_adam(state):
    return {**state, "adam": {}}


def without(key, value):
    return lambda state: {**state, "progress": {**state["progress"], key: value}}


@pytest.mark.parametrize("change", [without_adam, without("total", {}), without("train_ema", None)])
def test_a_state_that_lost_something_is_seen(change):
    with pytest.raises(AssertionError):
        check_resume("accumulated", 5, change)


def test_values_outside_the_model_come_back_through_their_setters():
    run = Run("es", lr=0.3).steps(4)
    other = resumed(run, lr=0.3)
    assert other.model.dropout.p == run.model.dropout.p != 0.2
    assert other.knobs["decay"].value.item() == run.knobs["decay"].value.item()
    assert other.optimizer.param_groups[0]["weight_decay"] == run.knobs["decay"].value.item()


def test_a_state_stays_as_it_is_while_the_run_goes_on():
    run = Run("es").steps(3)
    state = run.controller.state_dict()
    kept = copy.deepcopy(state)
    run.steps(3)
    check_alike(state, kept)
    run.controller.load_state_dict(state)
    run.model.temperature.raw.data.copy_(state["hyperparams"]["temperature"])
    run.steps(3)
    check_alike(state, kept)


def test_saturation_is_told_of_once_and_not_again_after_a_resume():
    def saturating(model):
        return MetaController(model, every=1, lr=0.5, objective=lambda losses: losses.loss)

    def steps(controller):
        for _ in range(6):
            controller.step(0.5, val_loss=lambda m: -m.temperature().sum())

    model = Net(temperature=9.9)
    first, second = saturating(model), saturating(model)
    with pytest.warns(UserWarning, match=r"temperature has come to a bound .*low=0\.1.*widen") as told:
        steps(first)
    assert len(told) == 1
    second.load_state_dict(through_a_file(first.state_dict()))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        steps(second)


def state_of(**modules):
    """The state of another net."""
    net = Net()
    for name, module in modules.items():
        setattr(net, name, module)
    return MetaController(net).state_dict()


ONE, THREE = BoundedHyperparam(0.5, 0.0, 1.0), BoundedHyperparam(0.5, 0.0, 1.0, shape=(3,))


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({}, "expected the state_dict of a MetaController, format 1"),
        ([], "format 1, .* got list"),
        (Net().state_dict(), "format 1, .*got .*first.bias"),
        (state_of() | {"format": 2}, "format 1"),
        (state_of() | {"adam": {"other": {}}}, r"averages of \['temperature'\], got those of \['other'\]"),
        (state_of() | {"progress": {"step": 3}}, r"expected a progress of .*got \['step'\]"),
        (state_of(other=ONE), r"hyperparameters \{'temperature': \(1,\)\}, got .*other.*same model"),
        (state_of(temperature=THREE), r"got that of \{'temperature': \(3,\)\}"),
        (
            state_of(temperature=BoundedHyperparam(1.0, 0.1, 10.0)),
            r"state of temperature within \[0\.1, 10\], log=True, got one within \[0\.1, 10\],.*bounds of then",
        ),
        (
            state_of(temperature=BoundedHyperparam(1.0, 0.1, 9.0, log=True)),
            r"within \[0\.1, 9\], log=True, where",
        ),
        (Run("es").controller.state_dict(), "of .*dropout.*add the same hyperparameters before loading"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(state, message):
    run = Run("direct").steps(3)
    before = run.seen()
    with pytest.raises(ValueError, match=message):
        run.controller.load_state_dict(state)
    check_alike(run.seen(), before)


def test_a_state_from_before_intervals_were_saved():
    state = Run("es", lr=0.3).steps(4).controller.state_dict()
    run = Run("es")
    run.controller.load_state_dict({key: value for key, value in state.items() if key != "intervals"})
    assert torch.equal(run.knobs["dropout"].raw.detach(), state["hyperparams"]["dropout"])


def test_a_setter_that_fails_while_loading_changes_nothing():
    state = Run("es", lr=0.3).steps(4).controller.state_dict()
    run = Run("es").steps(3)
    run.failing_setter("dropout", at=1)
    before = run.seen()
    with pytest.raises(ZeroDivisionError):
        run.controller.load_state_dict(state)
    check_alike(run.seen(), before)

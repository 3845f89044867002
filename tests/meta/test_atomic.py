"""A meta-update that fails leaves everything as it was, and can be repeated."""

import functools
import warnings

import pytest
import torch

from dsptorch.meta.optimizers import Outer
from tests.meta.loops import ESTIMATORS, Run, check_alike, loss_of, nothing


class WrongError(Exception):
    """What a user's function raises."""


def in_the_middle(model):
    loss_of(model)  # the batch norm has taken the batch in, the buffer is another tensor
    raise WrongError


def after_eval(model):
    model.eval()
    model.norm.running_mean.add_(1)
    raise WrongError


def after_train_of_a_part(model):
    model.dropout.train(not model.dropout.training)
    raise WrongError


def after_backward(model):
    loss_of(model).backward()
    raise WrongError


def exhausted(model):
    loss_of(model)
    return next(iter(()))


def interrupted(model):
    loss_of(model)
    raise KeyboardInterrupt


def of_the_wrong_shape(model):
    return loss_of(model).expand(2)


def without_gradient(model):
    return loss_of(model).detach().item() if torch.is_grad_enabled() else loss_of(model).expand(2)


FAILURES = [
    in_the_middle,
    after_eval,
    after_train_of_a_part,
    after_backward,
    exhausted,
    interrupted,
    of_the_wrong_shape,
    without_gradient,
]


def check_undone(run, failing):
    """A step that fails leaves all as it was; repeated, it does what it would have done."""
    run.steps(3)
    loss = run.train()
    for parameter in run.model.first.parameters():
        parameter.grad = torch.ones_like(parameter)  # of somebody who accumulates
    before = run.seen()
    raised = False
    try:
        failing(run, loss)
    except BaseException as error:
        if isinstance(error, AssertionError):
            raise
        raised = True
    assert raised
    check_alike(run.seen(), before)
    run.controller.step(loss, **run.losses())
    values, history = without_failure(run.name)
    check_alike(run.seen()["outer values"], values)
    check_alike(run.controller.history, history)


@functools.cache
def without_failure(name):
    """What the same run comes to when nothing fails."""
    twin = Run(name).steps(3)
    twin.controller.step(twin.train(), **twin.losses())
    return twin.seen()["outer values"], twin.controller.history


def with_val_loss(val_loss):
    return lambda run, loss: run.controller.step(loss, **run.losses(val_loss))


@pytest.mark.parametrize("failure", FAILURES, ids=lambda f: f.__name__)
@pytest.mark.parametrize("estimator", ESTIMATORS[1:])
def test_a_loss_that_fails_changes_nothing(estimator, failure):
    check_undone(Run(estimator), with_val_loss(failure))


@pytest.mark.parametrize("failure", [in_the_middle, after_eval, after_train_of_a_part, after_backward])
def test_what_a_failing_loss_changes_is_seen(failure, monkeypatch):
    monkeypatch.setattr("dsptorch.meta.update.preserved", nothing)
    with pytest.raises(AssertionError):
        check_undone(Run("direct"), with_val_loss(failure))


def refusing(run, name, calls):
    """Let a setter fail at its last call of an update, when it is given the new value."""
    real, count = run.controller._outer._setters[name], 0

    def setter(value):
        nonlocal count
        count += 1
        if count == calls:
            raise WrongError
        real(value)

    run.controller._outer._setters[name] = setter


@functools.cache
def set_per_update():
    """How often an update hands the values on."""
    run, count = Run("es").steps(3), 0

    def counting(value):
        nonlocal count
        count += 1
        run.set_decay(value)

    run.controller._outer._setters["decay"] = counting
    run.step()
    return count


@pytest.mark.parametrize("name", ["decay", "dropout"])
@pytest.mark.parametrize(
    "when", [1, 2, -1, 0], ids=["first", "second", "after the estimate", "with the new value"]
)
def test_a_setter_that_fails_changes_nothing(name, when):
    calls = when if when > 0 else set_per_update() + when

    def failing(run, loss):
        refusing(run, name, calls)
        run.controller.step(loss, **run.losses())

    check_undone(Run("es"), failing)


def test_a_setter_that_fails_half_way_is_seen(monkeypatch):
    calls = set_per_update()
    monkeypatch.setattr(Outer, "atomic", nothing)

    def failing(run, loss):
        refusing(run, "dropout", calls)
        run.controller.step(loss, **run.losses())

    with pytest.raises(AssertionError):
        check_undone(Run("es"), failing)


def saturating(run):
    """Bring the temperature near its bound, as the controller left it."""
    run.controller._state.expected["temperature"].fill_(6.0)
    with torch.no_grad():
        run.model.temperature.raw.fill_(6.0)


def check_warning_undone(run, prepare):
    run.steps(3)
    prepare(run)
    loss = run.train()
    before = run.seen()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="bound of its interval"):
            run.controller.step(loss, **run.losses())
    check_alike(run.seen(), before)
    with pytest.warns(UserWarning, match="bound of its interval"):
        run.controller.step(loss, **run.losses())


@pytest.mark.parametrize("estimator", ["accumulated", "direct", "es"])
def test_a_warning_made_an_error_changes_nothing(estimator):
    check_warning_undone(Run(estimator), saturating)


def test_a_warning_after_the_values_moved_is_seen(monkeypatch):
    monkeypatch.setattr(Outer, "atomic", nothing)
    with pytest.raises(AssertionError):
        check_warning_undone(Run("direct"), saturating)

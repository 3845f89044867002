"""A meta-update that fails leaves everything as it was, and can be repeated."""

import functools
import warnings

import pytest
import torch

from dsptorch.meta.optimizers import Outer
from tests.meta.loops import ESTIMATORS, Run, check_alike, loss_of, nothing


def after(change, error=ZeroDivisionError):
    """A loss that changes the model, and then raises."""

    def val_loss(model):
        change(model)
        raise error

    return val_loss


CHANGES = {
    "batch norm and buffer": after(loss_of),
    "eval": after(lambda m: m.eval().norm.running_mean.add_(1)),
    "mode of a part": after(lambda m: m.dropout.train(not m.dropout.training)),
    "gradients": after(lambda m: loss_of(m).backward()),
}
FAILURES = CHANGES | {
    "exhausted": after(loss_of, StopIteration),
    "interrupted": after(loss_of, KeyboardInterrupt),
    "wrong shape": lambda m: loss_of(m).expand(2),
    "no gradient": lambda m: loss_of(m).item() if torch.is_grad_enabled() else loss_of(m).expand(2),
}


def check_undone(run, val_loss=loss_of, prepare=lambda run: None):
    """A step that fails leaves all as it was; repeated, it does what it would have done."""
    run.steps(3)
    loss = run.train()
    for parameter in run.model.first.parameters():
        parameter.grad = torch.ones_like(parameter)  # of somebody who accumulates
    before = run.seen()
    prepare(run)
    raised = False
    try:
        run.controller.step(loss, **run.losses(val_loss))
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
    twin = Run(name).steps(4)
    return twin.seen()["outer values"], twin.controller.history


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("estimator", ESTIMATORS[1:])
def test_a_loss_that_fails_changes_nothing(estimator, failure):
    check_undone(Run(estimator), FAILURES[failure])


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_failing_loss_changes_is_seen(change, monkeypatch):
    monkeypatch.setattr("dsptorch.meta.update.preserved", nothing)
    with pytest.raises(AssertionError):
        check_undone(Run("direct"), CHANGES[change])


@functools.cache
def set_per_update():
    """How often an update hands the values on."""
    run = Run("es").steps(3)
    calls = run.failing_setter("decay")
    run.step()
    return len(calls)


@pytest.mark.parametrize("name", ["decay", "dropout"])
@pytest.mark.parametrize("when", ["first", "second", "after the estimate", "with the new value"])
def test_a_setter_that_fails_changes_nothing(name, when):
    last = set_per_update()
    at = {"first": 1, "second": 2, "after the estimate": last - 1, "with the new value": last}[when]
    check_undone(Run("es"), prepare=lambda run: run.failing_setter(name, at))


def test_a_setter_that_fails_half_way_is_seen(monkeypatch):
    last = set_per_update()
    monkeypatch.setattr(Outer, "atomic", nothing)
    with pytest.raises(AssertionError):
        check_undone(Run("es"), prepare=lambda run: run.failing_setter("dropout", last))


def check_warning_undone(run):
    run.steps(3)
    # Bring the temperature near its bound, as the controller left it.
    run.controller._state.expected["temperature"].fill_(6.0)
    run.model.temperature.raw.data.fill_(6.0)
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
    check_warning_undone(Run(estimator))


def test_a_warning_after_the_values_moved_is_seen(monkeypatch):
    monkeypatch.setattr(Outer, "atomic", nothing)
    with pytest.raises(AssertionError):
        check_warning_undone(Run("direct"))

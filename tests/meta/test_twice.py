"""A second call for one training step is warned of, and nothing that is right is."""

import warnings

import pytest
import torch
from torch import nn

from dsptorch import BoundedHyperparam
from dsptorch.meta import EvolutionStrategy, MetaController
from tests.meta.loops import ESTIMATORS, Net, Run, loss_of

AGAIN = r"step was called again without a training step since the last call: no weight has changed, and "


def twice(run, loss=lambda loss: loss):
    """Two steps of training, the controller called twice after the last."""
    run.steps(1)
    found = run.train()
    for _ in range(2):
        run.controller.step(loss(found), **run.losses())


@pytest.mark.parametrize(
    ("how", "says"), [(lambda t: t, "the loss is the same tensor"), (float, "no gradient has")]
)
@pytest.mark.parametrize("estimator", ["accumulated", "es"])
def test_a_second_call_is_warned_of_once(estimator, how, says):
    run = Run(estimator, every=10)
    with pytest.warns(UserWarning, match=AGAIN + says):
        twice(run, how)
    check_silent(lambda: twice(run, how))


def test_hyperparameters_outside_the_model_have_the_loss_alone_to_tell():
    model = nn.Linear(3, 1)
    controller = MetaController(model, every=10, estimator=EvolutionStrategy())
    controller.add_hyperparam("x", BoundedHyperparam(0.5, 0.0, 1.0), lambda value: None)
    loss = model(torch.ones(1, 3)).sum()
    check_silent(lambda: controller.step(loss, val_loss=lambda m: m.weight.sum()))
    with pytest.warns(UserWarning, match=AGAIN + "the loss is the same tensor"):
        controller.step(loss, val_loss=lambda m: m.weight.sum())


def check_silent(run):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run()


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_an_ordinary_loop(estimator):
    check_silent(lambda: Run(estimator, every=3).steps(5))


def accumulated(net, controller, optimizer):
    """Micro-batches, and a step of both after each fourth."""
    for i in range(12):
        loss = loss_of(net)
        loss.backward()
        if i % 4 == 3:
            optimizer.step()
            optimizer.zero_grad()
            controller.step(loss)


def zeroed_before(net, controller, optimizer):
    """The gradients of the hyperparameters never reach the controller."""
    for _ in range(3):
        loss = loss_of(net)
        loss.backward()
        optimizer.step()
        net.zero_grad()
        controller.step(loss)


def dropped(net, controller, optimizer):
    """A step in which the layer with the hyperparameter is left out."""
    for i in range(4):
        loss = loss_of(net) if i % 2 else net.last(torch.tanh(net.first(torch.randn(4, 4)))).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        controller.step(loss)


def skipped(net, controller, optimizer):
    """As a GradScaler leaves out a step: the weights stay."""
    for i in range(4):
        loss = loss_of(net)
        loss.backward()
        if i % 2:
            optimizer.step()
        optimizer.zero_grad()
        controller.step(loss)


LOOPS = [accumulated, zeroed_before, dropped, skipped]


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("loop", LOOPS)
def test_an_unusual_loop(loop, fused):
    if loop is dropped and fused:
        pytest.skip("fused steps do not show in the versions of weights; then a warning may be wrong")
    net = Net()
    controller = MetaController(net, every=100)
    optimizer = torch.optim.AdamW(controller.inner_param_groups(weight_decay=0.0), lr=0.01, fused=fused)
    check_silent(lambda: loop(net, controller, optimizer))


def test_a_call_that_failed_may_be_repeated():
    run = Run("direct", every=1)
    loss = run.train()
    with pytest.raises(ZeroDivisionError):
        run.controller.step(loss, val_loss=lambda model: 1 / 0)
    check_silent(lambda: run.controller.step(loss, **run.losses()))

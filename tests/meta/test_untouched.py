"""An update that succeeds leaves the training alone: at lr=0 it is the training without a controller, bit for bit."""

from contextlib import suppress

import pytest
import torch

from tests.meta.loops import ESTIMATORS, Run, check_alike, loss_of, nothing


def check_alone(estimator):
    """With lr=0 the training is the one without a controller."""
    run = Run(estimator, lr=0.0).steps(6)
    mine = run.seen()
    alone = Run(None)
    alone.optimizer = torch.optim.AdamW(run_groups(alone.model), lr=0.01)
    if "decay" in run.knobs:
        alone.optimizer.param_groups[0]["weight_decay"] = run.optimizer.param_groups[0]["weight_decay"]
    if "dropout" in run.knobs:
        alone.model.dropout.p = run.model.dropout.p
    its = alone.steps(6).seen()
    assert len(run.controller.history) == 3
    for key in ("model", "modes", "dropout", "optimizer", "generator"):
        check_alike(mine[key], its[key], key)
    for name, gradient in mine["gradients"].items():
        assert gradient is None, name


def run_groups(model):
    """The groups that a user would make by hand."""
    decayed = [model.first.weight, model.last.weight]
    others = [p for name, p in model.named_parameters() if p.dim() < 2 and not name.startswith("temperature")]
    return [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_at_lr_0_it_is_the_training_without_it_bit_for_bit(estimator):
    check_alone(estimator)


def test_an_update_that_draws_from_the_users_generator_is_seen(monkeypatch):
    monkeypatch.setattr("dsptorch.meta.update.preserved", nothing)
    with pytest.raises(AssertionError):
        check_alone("direct")


def test_a_gradient_that_belongs_to_somebody_stays_the_same_tensor():
    run = Run("direct").steps(1)
    loss = run.train()
    mine = run.model.first.weight.grad = torch.ones_like(run.model.first.weight)
    with suppress(RuntimeError):
        run.controller.step(loss, val_loss=after_backward_and_return)
    assert run.model.first.weight.grad is mine
    assert (mine == 1).all()


def after_backward_and_return(model):
    loss = loss_of(model)
    loss.backward(retain_graph=True)
    return loss

"""An update that succeeds leaves the training alone: at lr=0 it is that without a controller, bit for bit."""

import pytest
import torch

from tests.meta.loops import ESTIMATORS, Run, check_alike, loss_of, nothing


def groups_by_hand(model):
    """The groups that a user would make."""
    decayed = [model.first.weight, model.last.weight]
    others = [p for name, p in model.named_parameters() if p.dim() < 2 and not name.startswith("temperature")]
    return [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]


def check_alone(estimator):
    """With lr=0 the training is the one without a controller."""
    run = Run(estimator, lr=0.0).steps(6)
    mine = run.seen()
    alone = Run(None)
    alone.optimizer = torch.optim.AdamW(groups_by_hand(alone.model), lr=0.01)
    alone.set_decay(run.optimizer.param_groups[0]["weight_decay"])
    alone.set_dropout(run.model.dropout.p)
    its = alone.steps(6).seen()
    assert len(run.controller.history) == 3
    for key in ("model", "modes", "dropout", "optimizer", "generator"):
        check_alike(mine[key], its[key], key)
    assert all(gradient is None for gradient in mine["gradients"].values())


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

    def val_loss(model):
        loss = loss_of(model)
        loss.backward(retain_graph=True)
        return loss

    run.controller.step(loss, val_loss=val_loss)
    assert len(run.controller.history) == 1
    assert run.model.first.weight.grad is mine
    assert (mine == 1).all()


# A loss may put the model into eval mode: the losses after it do not notice.


def check_modes(estimator):
    """Every training loss of two updates is in train mode, and so is the model after them."""
    run, modes = Run(estimator, every=1), []

    def train_loss(model):
        modes.extend(module.training for module in model.modules())
        return loss_of(model)

    for _ in range(2):
        run.controller.step(0.0, train_loss=train_loss, val_loss=lambda m: loss_of(m.eval()))
    assert modes
    assert all(modes)
    assert all(module.training for module in run.model.modules())


@pytest.mark.parametrize("estimator", ["unroll", "implicit", "es"])
def test_an_eval_that_is_not_undone_reaches_no_other_loss(estimator):
    check_modes(estimator)


def test_an_eval_that_stays_is_caught(monkeypatch):
    monkeypatch.setattr("dsptorch.meta.estimators.base.preserved", nothing)
    with pytest.raises(AssertionError):
        check_modes("implicit")  # it takes the validation loss first

"""What a controller tells of an ordinary run, and what it does where numbers are not finite."""

import json
import math

import pytest
import torch
from torch import nn

from dsptorch import BoundedHyperparam
from dsptorch.meta import EvolutionStrategy, MetaController
from tests.meta.loops import ESTIMATORS, Net, Run, check_alike, loss_of

# The history


def test_the_history_can_be_written_as_json():
    model = nn.Linear(3, 3)
    controller = MetaController(model, every=1)
    several, one = BoundedHyperparam(0.5, 0.0, 1.0, shape=(3,)), BoundedHyperparam(0.5, 0.0, 1.0)
    controller.add_hyperparam("several", several)
    controller.add_hyperparam("one", one)
    for _ in range(2):
        record = controller.step(0.5, val_loss=lambda m: (several() * one()).sum() + 0 * m.weight.sum())
    assert json.loads(json.dumps(controller.history, allow_nan=False)) == controller.history
    assert [r["step"] for r in controller.history] == [1, 2]
    assert set(record) == {"step", "loss", "meta_loss", "value", "hypergradient"}
    assert isinstance(record["value"]["several"], list)
    assert len(record["hypergradient"]["several"]) == 3
    assert isinstance(record["value"]["one"], float)
    record["value"]["one"] = controller.history[0]["step"] = "spoiled"
    assert controller.history[-1]["value"]["one"] != "spoiled"
    assert controller.history[0]["step"] == 1


def test_the_averages_of_the_losses():
    controller = MetaController(Net(), every=2, ema_decay=0.75)
    assert controller.ema == {"train": None, "val": None}
    for loss in (1.0, 3.0):
        controller.step(loss, val_loss=loss_of)
    assert controller.ema["train"] == 1.5
    assert controller.ema["val"] == controller.history[-1]["loss"]


def test_the_gradients_are_taken_and_cleared_at_every_step():
    run = Run("accumulated", every=3)
    for step in range(1, 7):
        loss = loss_of(run.model)
        loss.backward()
        of_weights = run.model.first.weight.grad.clone()
        run.controller.step(loss)
        assert run.model.temperature.raw.grad is None
        assert torch.equal(run.model.first.weight.grad, of_weights)
        assert len(run.controller.history) == step // 3
    assert run.model.temperature.value.item() != 1.0


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_it_updates_where_gradients_are_off(estimator):
    run = Run(estimator, every=1)
    loss = run.train()
    with torch.no_grad():
        assert run.controller.step(loss, **run.losses())


# What is not finite


def check_skipped(run, value):
    """An update that is not finite is skipped, counted and warned of, and changes nothing but the count."""
    run.steps(5)
    before = run.seen()
    with pytest.warns(
        UserWarning, match="step 6 skipped, 1 so far: not finite at .*; lower the learning rate"
    ):
        assert run.step(lambda model: loss_of(model) * value) is None
    after = run.seen()
    assert run.controller.skipped == 1
    check_alike(after["dropout"], before["dropout"])
    for key in ("hyperparams", "adam"):
        check_alike(after["controller"][key], before["controller"][key])
    for key in ("history", "val_ema", "past", "updates"):
        check_alike(after["controller"]["progress"][key], before["controller"]["progress"][key], key)
    run.steps(2)
    assert len(run.controller.history) == 3


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("estimator", ESTIMATORS[1:])
def test_an_update_that_is_not_finite_is_skipped(estimator, value):
    check_skipped(Run(estimator), value)


def test_an_update_that_is_not_finite_and_made_is_seen(monkeypatch):
    monkeypatch.setattr(torch, "isfinite", lambda t: torch.ones_like(t, dtype=torch.bool))
    with pytest.raises(BaseException, match=r"(?s).*DID NOT WARN"):
        check_skipped(Run("direct"), math.nan)


def test_setters_left_with_a_candidate_are_seen(monkeypatch):
    def leaving(self, meta_step):
        found = estimate(self, meta_step)
        meta_step.run(
            lambda _: meta_step.call_setters(), raws={n: r + 1 for n, r in meta_step.raws().items()}
        )
        return found

    estimate = EvolutionStrategy.estimate
    monkeypatch.setattr(EvolutionStrategy, "estimate", leaving)
    with pytest.raises(AssertionError):
        check_skipped(Run("es", lr=0.0), math.nan)


def test_an_objective_that_is_not_finite_is_skipped():
    controller = MetaController(Net(), every=1, objective=lambda losses: (losses.loss - losses.past).log())
    with pytest.warns(UserWarning, match="not finite at"):
        controller.step(0.5, val_loss=loss_of)
    assert controller.history == []


def check_one_bad_step(spoiled, value=math.nan):
    """A training step with a NaN gradient counts as none: the mean is that of the others."""
    model = Net()
    controller = MetaController(model, every=3)
    for gradient, loss in ((1.0, 2.0), (value, 5.0), (3.0, 4.0)):
        model.temperature.raw.grad = torch.tensor([gradient])
        controller.step(value if spoiled == "loss" and not math.isfinite(gradient) else loss)
    (record,) = controller.history
    assert record["hypergradient"]["temperature"] == pytest.approx(0.1 * 2.0)
    assert record["loss"] == 3.0


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("spoiled", ["gradient", "loss"])
def test_one_training_step_that_is_not_finite_counts_as_none(spoiled, value):
    check_one_bad_step(spoiled, value)


def test_a_bad_step_that_counts_is_seen(monkeypatch):
    monkeypatch.setattr(torch, "isfinite", lambda t: torch.ones_like(t, dtype=torch.bool))
    with pytest.raises(AssertionError):
        check_one_bad_step("gradient")


@pytest.mark.parametrize(("bad", "average"), [(0, 4.0), (1, 3.0), (2, 2.0)])
def test_a_training_loss_that_is_not_finite_does_not_stay_in_the_average(bad, average):
    controller = MetaController(Net(), every=100, ema_decay=0.5)
    for step, loss in enumerate((1.0, 3.0, 5.0)):
        controller.step(math.nan if step == bad else loss)
    assert controller.ema["train"] == average


def test_an_interval_of_bad_steps_alone_is_skipped():
    model = Net()
    controller = MetaController(model, every=1)
    model.temperature.raw.grad = torch.tensor([math.nan])
    with pytest.warns(UserWarning, match="skipped, 1 so far"):
        controller.step(1.0)
    model.temperature.raw.grad = torch.tensor([1.0])
    controller.step(1.0)
    assert controller.skipped == 1
    assert len(controller.history) == 1

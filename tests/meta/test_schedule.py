"""Updates come when the schedule says so, and the weights' optimizer gets the weights alone."""

import pytest
import torch

from dsptorch.meta import MetaController
from dsptorch.meta.schedule import Schedule
from tests.hyperparams.test_groups import check_groups, every_layer
from tests.meta.loops import Net, Run


def check_schedule(expected, **schedule):
    """A run updates at these steps of twelve, and moves the temperature at no other."""
    run, values = Run("direct", **schedule), [1.0]
    for _ in range(12):
        run.step()
        values.append(run.model.temperature.value.item())
    at = [record["step"] for record in run.controller.history]
    assert at == expected
    for step in range(1, 13):
        assert (step in at) == (values[step - 1] != values[step]), step


@pytest.mark.parametrize(
    ("expected", "schedule"),
    [
        ([5, 10], {"every": 5}),
        ([4, 7, 10], {"every": 3, "warmup": 1}),
        ([3, 6], {"every": 3, "freeze_at": 8}),
        ([3, 6, 9], {"every": 3, "freeze_at": 9}),
        ([6, 8], {"every": 2, "warmup": 4, "freeze_at": 9}),
        ([], {"every": 1, "freeze_at": 0}),
        ([], {"every": 5, "warmup": 10}),
        (list(range(1, 13)), {"every": 1}),
    ],
)
def test_when_it_updates(expected, schedule):
    check_schedule(expected, **schedule)


def test_an_update_one_step_late_is_seen(monkeypatch):
    monkeypatch.setattr(Schedule, "updates", lambda self, step: step > 1 and (step - 1) % self.every == 0)
    with pytest.raises(AssertionError):
        check_schedule([5, 10], every=5)


def check_warmup_is_not_averaged():
    """What training leaves in the warm-up is in no update."""
    model = Net()
    controller = MetaController(model, every=2, warmup=2, objective=lambda losses: losses.loss)
    for gradient in (100.0, 100.0, 1.0, 3.0):
        model.temperature.raw.grad = torch.tensor([gradient])
        controller.step(1.0)
    assert controller.history[0]["hypergradient"]["temperature"] == 2.0


def test_the_warm_up_is_not_averaged(monkeypatch):
    check_warmup_is_not_averaged()
    monkeypatch.setattr(Schedule, "rests", lambda self, step: False)
    with pytest.raises(AssertionError):
        check_warmup_is_not_averaged()


def test_nothing_moves_while_all_are_frozen_and_then_it_learns_on_from_where_it_was_set():
    run = Run("direct").steps(2)
    temperature = run.model.temperature.freeze()
    value = temperature.value.item()
    run.steps(4)
    assert temperature.value.item() == value
    assert len(run.controller.history) == 1
    temperature.set_(3.0)
    run.step()
    temperature.requires_grad_(True)
    run.steps(3)
    assert len(run.controller.history) == 3
    assert run.controller.history[1]["value"]["temperature"] > 2.5


@pytest.mark.parametrize("learned", [slice(None), slice(1)], ids=["all", "one"])
def test_the_groups_hold_every_other_parameter_once(learned):
    """test_groups.py has the groups that are caught."""
    model = every_layer()
    names = list(MetaController(model).hyperparams)[learned]
    controller = MetaController(model, hyperparams=names)
    learned = controller.hyperparams.values()
    assert learned
    check_groups(lambda _: controller.inner_param_groups(weight_decay=0.1), model, learned)

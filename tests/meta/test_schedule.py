"""Updates come when the schedule says so, and the weights' optimizer gets the weights alone."""

import pytest
import torch
from torch import nn

from dsptorch import BoundedHyperparam, Multirate, named_hyperparams
from dsptorch.meta import MetaController
from dsptorch.meta.schedule import Schedule
from tests.meta.loops import Net, Run


def updated(steps, **schedule):
    """The steps at which a run updates, and the temperature after each step."""
    run, values = Run("direct", **schedule), []
    for _ in range(steps):
        run.step()
        values.append(run.model.temperature.value.item())
    return [record["step"] for record in run.controller.history], values


def check_schedule(expected, **schedule):
    at, values = updated(12, **schedule)
    assert at == expected
    for step, (before, after) in enumerate(zip([1.0, *values], values, strict=False), start=1):
        assert (step in at) == (before != after), step


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


def hypergradient_of(micro, summed=False):
    """The hypergradient of one batch in so many micro-batches."""
    run = Run("accumulated", every=1, lr=0.0)
    run.model.eval()
    x = torch.randn(16, 4)
    for part in x.chunk(micro):
        loss = (run.model(part).square()).mean() / (1 if summed else micro)
        loss.backward()
    run.controller.step(loss)
    return run.controller.history[0]["hypergradient"]["temperature"]


def test_gradients_that_accumulate():
    whole = hypergradient_of(1)
    assert hypergradient_of(4) == pytest.approx(whole, rel=1e-5)
    assert hypergradient_of(4, summed=True) != pytest.approx(whole, rel=1e-5)


def test_nothing_moves_while_all_are_frozen():
    run = Run("direct").steps(2)
    run.model.temperature.freeze()
    value = run.model.temperature.value.item()
    run.steps(4)
    assert run.model.temperature.value.item() == value
    assert len(run.controller.history) == 1
    run.model.temperature.requires_grad_(True)
    run.steps(2)
    assert len(run.controller.history) == 2


def test_what_is_set_while_it_is_frozen_learns_on_from_there():
    run = Run("direct").steps(2)
    run.model.temperature.freeze().set_(3.0)
    run.step()
    run.model.temperature.requires_grad_(True)
    run.steps(3)
    assert len(run.controller.history) == 3
    assert run.controller.history[1]["value"]["temperature"] > 2.5


# The parameter groups


def check_groups(groups_of, model, controlled):
    groups = groups_of(model)
    ids = [id(p) for group in groups for p in group["params"]]
    assert len(ids) == len(set(ids))
    assert not {id(h.raw) for name, h in named_hyperparams(model) if name in controlled} & set(ids)
    kept = {id(p) for name, p in model.named_parameters() if name.removesuffix(".raw") not in controlled}
    assert set(ids) == {id(p) for p in model.parameters() if p.requires_grad and id(p) in kept}


def models():
    tied = nn.Sequential(nn.Linear(4, 4), Multirate(4), nn.Linear(4, 4))
    tied[2].weight = tied[0].weight
    part = Net()
    part.first.requires_grad_(False)
    part.extra = BoundedHyperparam(0.5, 0.0, 1.0).freeze()
    return [tied, part, nn.Sequential(Net(), Net())]


@pytest.mark.parametrize("index", range(3))
def test_the_groups_hold_every_other_parameter_once(index):
    model = models()[index]
    controller = MetaController(model)
    check_groups(
        lambda _: controller.inner_param_groups(weight_decay=0.1), model, list(controller.hyperparams)
    )
    some = list(controller.hyperparams)[:1]
    partial = MetaController(model, hyperparams=some)
    check_groups(lambda _: partial.inner_param_groups(weight_decay=0.1), model, some)


@pytest.mark.parametrize(
    "broken", [lambda m: [{"params": list(m.parameters())}], lambda m: [{"params": []}]], ids=["all", "none"]
)
def test_wrong_groups_are_seen(broken):
    model = models()[0]
    with pytest.raises(AssertionError):
        check_groups(broken, model, list(MetaController(model).hyperparams))

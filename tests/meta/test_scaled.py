"""Under a gradient scaler and autocast the hypergradients are those of float32."""

import math
from contextlib import nullcontext

import pytest
import torch

from dsptorch.meta import MetaController
from tests.meta.loops import Net, loss_of
from tests.tolerances import assert_close


class Scaler:
    """A gradient scaler whose factor changes at every step, as one that grows and backs off."""

    def __init__(self, factors):
        self.factors, self.now = factors, 0

    def get_scale(self):
        return self.factors[self.now % len(self.factors)]

    def scale(self, loss):
        return loss * self.get_scale()

    def step(self, optimizer):
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad /= self.get_scale()
        optimizer.step()

    def update(self):
        self.now += 1


def trained(scaler, told, *, with_val, steps=12, context=nullcontext, **kwargs):
    """The history of a run under a scaler, of which the controller may or may not know."""
    torch.manual_seed(0)
    model = Net(dropout=0.0)
    controller = MetaController(model, every=3, scaler=scaler if told else None, **kwargs)
    optimizer = torch.optim.SGD(controller.inner_param_groups(weight_decay=0.0), lr=0.1)

    def loss_in_context(m):
        with context():
            return loss_of(m)

    for _ in range(steps):
        loss = loss_in_context(model)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        controller.step(loss, val_loss=loss_in_context if with_val else None)
    return controller.history


def check_unscaled(scaler, told=True, **kwargs):
    assert trained(scaler, told, **kwargs) == trained(Scaler([1.0]), True, **kwargs)


POWERS = [2.0**10, 2.0**11, 2.0**7, 2.0**14]  # exact in float32


@pytest.mark.parametrize("with_val", [False, True], ids=["of training", "of validation"])
def test_hypergradients_come_unscaled(with_val):
    check_unscaled(Scaler(POWERS), with_val=with_val)
    check_unscaled(torch.amp.GradScaler("cpu", init_scale=2.0**8, growth_interval=2), with_val=with_val)


def test_scaled_hypergradients_are_seen():
    with pytest.raises(AssertionError):
        check_unscaled(Scaler(POWERS), told=False, with_val=False)


def test_an_overflow_that_the_scaler_skips_counts_as_no_step():
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127, growth_interval=1000)
    history = trained(scaler, True, with_val=False)
    assert len(history) == 4
    assert all(math.isfinite(record["hypergradient"]["temperature"]) for record in history)


def test_autocast():
    bfloat16 = trained(
        Scaler(POWERS), True, with_val=True, context=lambda: torch.autocast("cpu", dtype=torch.bfloat16)
    )
    exact = trained(Scaler(POWERS), True, with_val=True)
    for one, other in zip(bfloat16, exact, strict=True):
        assert_close(
            torch.tensor(one["value"]["temperature"]),
            torch.tensor(other["value"]["temperature"]),
            dtype=torch.bfloat16,
        )

"""Under a gradient scaler and autocast the hypergradients are those of float32."""

import math

import pytest
import torch

from tests.meta.loops import history, loss_of
from tests.tolerances import assert_close


class Scaler:
    """A gradient scaler whose factor changes at every step, as one that grows and backs off."""

    factors = (2.0**10, 2.0**11, 2.0**7, 2.0**14)  # exact in float32

    def __init__(self):
        self.now = 0

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


def trained(scaler=None, **kwargs):
    return history(scaler=scaler, every=3, steps=12, **kwargs)


@pytest.mark.parametrize("with_val", [False, True], ids=["of training", "of validation"])
def test_hypergradients_come_unscaled(with_val):
    growing = torch.amp.GradScaler("cpu", init_scale=2.0**8, growth_interval=2)
    for scaler in (Scaler(), growing):
        assert trained(scaler, with_val=with_val) == trained(with_val=with_val)


def test_scaled_hypergradients_are_seen():
    assert trained(Scaler(), told=False, with_val=False) != trained(with_val=False)


def test_an_overflow_that_the_scaler_skips_counts_as_no_step():
    overflowing = torch.amp.GradScaler("cpu", init_scale=2.0**127, growth_interval=1000)
    records = trained(overflowing, with_val=False)
    assert all(math.isfinite(record["hypergradient"]["temperature"]) for record in records)


def test_autocast():
    def in_bfloat16(model):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return loss_of(model)

    for one, other in zip(trained(Scaler(), loss=in_bfloat16), trained(Scaler()), strict=True):
        values = (torch.tensor(record["value"]["temperature"]) for record in (one, other))
        assert_close(*values, dtype=torch.bfloat16)

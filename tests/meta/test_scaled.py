"""Under a gradient scaler and autocast the hypergradients are those of float32."""

import math

import pytest
import torch

from tests.meta.loops import history, loss_of
from tests.tolerances import assert_close


def growing():
    """A scaler whose factor, exact in float32, is another at every step."""
    return torch.amp.GradScaler("cpu", init_scale=2.0**8, growth_interval=1)


def trained(scaler=None, **kwargs):
    return history(scaler=scaler, every=3, steps=12, **kwargs)


@pytest.mark.parametrize("with_val", [False, True], ids=["of training", "of validation"])
def test_hypergradients_come_unscaled(with_val):
    assert trained(growing(), with_val=with_val) == trained(with_val=with_val)


def test_scaled_hypergradients_are_seen():
    assert trained(growing(), told=False, with_val=False) != trained(with_val=False)


def test_an_overflow_that_the_scaler_skips_counts_as_no_step():
    overflowing = torch.amp.GradScaler("cpu", init_scale=2.0**127, growth_interval=1000)
    records = trained(overflowing, with_val=False)
    assert all(math.isfinite(record["hypergradient"]["temperature"]) for record in records)


def test_autocast():
    def in_bfloat16(model):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return loss_of(model)

    for one, other in zip(trained(growing(), loss=in_bfloat16), trained(growing()), strict=True):
        values = (torch.tensor(record["value"]["temperature"]) for record in (one, other))
        assert_close(*values, dtype=torch.bfloat16)

"""The bounds travel with a checkpoint: in another interval a hyperparameter has the same value, or is refused."""

import copy
import io

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_model, save_model
from torch import nn

from dsptorch import BoundedHyperparam, Chain, Multirate
from dsptorch.functional.bounds import change_bounds, to_bounded
from tests.tolerances import assert_close, assert_same

NARROW = {"low": 0.2, "high": 0.6}
WIDE = {"low": 0.0, "high": 1.0}


def through_a_file(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def check_keeps_its_value(saved, other, load=lambda state, other: other.load_state_dict(state)):
    load(through_a_file(saved.state_dict()), other)
    assert_close(other.value, saved.value.to(other.raw.dtype))
    assert_same(other.interval, torch.tensor([other.low, other.high, other.log], dtype=other.raw.dtype))


INTERVALS = [
    (NARROW, WIDE),
    (WIDE | {"low": 0.1}, WIDE | {"low": 0.1, "log": True}),
    (WIDE | {"low": 0.1, "log": True}, {"low": -5.0, "high": 7.0}),
    (NARROW, NARROW | {"log": True}),
]


@pytest.mark.parametrize(("before", "after"), INTERVALS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_another_interval(before, after, dtype):
    first = torch.tensor([0.3, 0.55])
    check_keeps_its_value(
        BoundedHyperparam(first, **before, dtype=dtype), BoundedHyperparam(first + 0.02, **after, dtype=dtype)
    )


def test_a_raw_value_that_is_copied_is_caught(monkeypatch):
    monkeypatch.setattr("dsptorch.hyperparams.intervals.converted", lambda raw, saved, interval: raw)
    with pytest.raises(AssertionError):
        check_keeps_its_value(BoundedHyperparam(0.3, **NARROW), BoundedHyperparam(0.3, **WIDE))


LOADS = {
    "assign": lambda state, other: other.load_state_dict(state, assign=True),
    "cast": lambda state, other: other.load_state_dict({k: v.double() for k, v in state.items()}),
    "not strict": lambda state, other: other.load_state_dict(state, strict=False),
    "within a model": lambda state, other: nn.ModuleDict({"a": other}).load_state_dict(
        {f"a.{k}": v for k, v in state.items()}
    ),
}


@pytest.mark.parametrize("load", LOADS.values(), ids=LOADS)
def test_every_way_to_load(load):
    check_keeps_its_value(BoundedHyperparam(0.3, **NARROW), BoundedHyperparam(0.5, **WIDE), load)


def test_safetensors(tmp_path):
    layer, other = Chain(Multirate(4)), Chain(Multirate(4, mix_ratio=BoundedHyperparam(0.9, 0.0, 1.0)))
    save_model(layer, tmp_path / "layer.safetensors")
    load_model(other, tmp_path / "layer.safetensors")
    assert_close(other.layers[0].mix_ratio.value, layer.layers[0].mix_ratio.value)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_same_interval_keeps_every_bit(dtype):
    """Also where the checkpoint was cast on the way."""
    saved, other = BoundedHyperparam(0.3, **NARROW), BoundedHyperparam(0.5, **NARROW)
    state = {name: tensor.to(dtype) for name, tensor in saved.state_dict().items()}
    other.load_state_dict(state)
    assert_same(other.raw.detach(), state["raw"].float())


def test_a_checkpoint_from_before_intervals_were_saved():
    saved, other = BoundedHyperparam(0.3, **NARROW), BoundedHyperparam(0.5, **NARROW)
    other.load_state_dict({"raw": saved.raw.detach()})
    assert_same(other.value, saved.value)
    layer = Multirate(4)
    old = {name: t for name, t in layer.state_dict().items() if not name.endswith("interval")}
    Multirate(4).load_state_dict(old)


def test_a_value_on_a_bound_stays_there():
    saved = BoundedHyperparam(3, 1, 4, integer=True).harden(lambda: 0.0)
    saved._stand_at(torch.tensor([1.0]))
    other = BoundedHyperparam(3, 1, 8, integer=True)
    check_keeps_its_value(saved, other)
    assert other.value.item() == 1
    saved._stand_at(torch.tensor([4.0]))
    check_keeps_its_value(saved, other)
    assert other.weights().detach().tolist() == [[0, 0, 0, 1, 0, 0, 0, 0]]


def test_a_value_outside_is_refused_and_nothing_changes():
    saved, other = BoundedHyperparam(0.3, **NARROW), BoundedHyperparam(0.7, 0.5, 1.0)
    model = nn.Sequential(Multirate(4, mix_ratio=other))
    before = copy.deepcopy(other.state_dict())
    state = {**model.state_dict(), **{f"0.mix_ratio.{k}": v for k, v in saved.state_dict().items()}}
    with pytest.raises(
        RuntimeError,
        match=r"0\.mix_ratio\.raw: .*saved within \[0\.2, 0\.6\].* into \[0\.5, 1\].*got 0\.3; widen",
    ):
        model.load_state_dict(state)
    for name, tensor in other.state_dict().items():
        assert_same(tensor, before[name])


def test_another_interval_without_raw_values_is_refused():
    other = BoundedHyperparam(0.3, **WIDE)
    with pytest.raises(
        RuntimeError, match=r"\[0\.2, 0\.6\] came without the raw values .* differs from \[0, 1\]"
    ):
        other.load_state_dict({"interval": torch.tensor([0.2, 0.6, 0.0])}, strict=False)
    other.load_state_dict({"interval": torch.tensor([0.0, 1.0, 0.0])}, strict=False)


def test_bounds_that_are_assigned_are_saved():
    saved = BoundedHyperparam(0.3, **WIDE)
    saved.high = 2.0
    check_keeps_its_value(saved, BoundedHyperparam(0.3, 0.0, 4.0))


def test_half_precision_and_the_meta_device_keep_it_whole():
    saved = BoundedHyperparam(0.3, **NARROW)
    assert saved.half().interval.dtype == torch.float32
    with torch.device("meta"):
        other = BoundedHyperparam(0.5, **WIDE)
    other.load_state_dict(saved.state_dict(), assign=True)
    assert_close(other.value, saved.value)


@given(st.floats(-30, 30), st.floats(0.01, 5), st.floats(6, 50), st.booleans(), st.booleans())
def test_changed_bounds_change_no_value(raw, low, high, log, new_log):
    value = to_bounded(torch.tensor(raw, dtype=torch.float64), low, high, log=log)
    moved = change_bounds(
        torch.tensor(raw, dtype=torch.float64), low, high, low / 2, high * 2, log=log, new_log=new_log
    )
    assert to_bounded(moved, low / 2, high * 2, log=new_log).item() == pytest.approx(value.item(), rel=1e-9)

"""The library gives the numbers that its first edition gave, to rounding: cases.npz, written by record.py."""

from typing import Any

import pytest
import torch
from torch import Tensor

import dsptorch as d
from tests.recorded.filters import FILTERS, Weights
from tests.recorded.layers import CAUSAL, FAR, LAYERS, LONG
from tests.recorded.measure import (
    TOLERANCE,
    check,
    measure,
    measure_far,
    measure_filter,
    measure_stream,
    same,
    same_filter,
    scales,
    structure,
)
from tests.recorded.record import Reader

RECORDED = Reader()


def word(value: str | torch.dtype) -> str:
    return str(value).removeprefix("torch.")


dtypes = pytest.mark.parametrize("dtype", TOLERANCE, ids=word)
layers = pytest.mark.parametrize("name", LAYERS | FAR)
filters = pytest.mark.parametrize("name", FILTERS)


def build(name: str, dtype: torch.dtype = torch.float64) -> d.Layer:
    """A layer with the recorded weights."""
    layer = (LAYERS | FAR)[name]().to(dtype)
    layer.load_state_dict(RECORDED[f"state {name}"])
    return layer


def check_all(found: dict[str, Tensor], group: str, dtype: torch.dtype) -> None:
    """Raise unless the tensors found are those of the record, no more and no fewer."""
    recorded = RECORDED[group]
    assert found.keys() == recorded.keys()
    scale = scales(recorded, dtype)
    for what, tensor in found.items():
        check(tensor, recorded[what], f"{group}: {what}", dtype, scale[what])


def check_layer(layer: d.Layer, name: str, dtype: torch.dtype) -> None:
    inputs = RECORDED.inputs(name).to(dtype)
    if name in FAR:
        check_all(measure_far(layer, inputs), f"layer {name}", dtype)
        return
    found = measure(layer, inputs)
    if layer.lookahead == 0:
        found |= measure_stream(layer, inputs)
    check_all(found, f"layer {name}", dtype)


@layers
@dtypes
def test_layers_give_the_recorded_numbers(name: str, dtype: torch.dtype) -> None:
    check_layer(build(name, dtype), name, dtype)


WAYS = [(name, dtype) for name in LAYERS for dtype in TOLERANCE if name not in LONG or dtype == torch.float64]


@pytest.mark.parametrize(("name", "dtype"), WAYS, ids=word)
def test_chunks_and_folded_layers_give_the_recorded_numbers(name: str, dtype: torch.dtype) -> None:
    with torch.no_grad():
        ways = same(build(name, dtype), RECORDED.inputs(name).to(dtype))
    recorded = RECORDED[f"layer {name}"]
    for way, (tensor, what) in ways.items():
        check(tensor, recorded[what], f"{name}: {way}", dtype)


@layers
def test_layers_have_the_recorded_structure(name: str) -> None:
    assert structure(build(name)) == RECORDED.structures[f"layer {name}"]


@filters
@dtypes
def test_filters_give_the_recorded_numbers(name: str, dtype: torch.dtype) -> None:
    inputs = RECORDED.inputs(name).to(dtype)
    weights = Weights(**{k: w.to(dtype) for k, w in RECORDED["weights"].items()})
    check_all(measure_filter(FILTERS[name], weights, inputs), f"filter {name}", dtype)
    recorded = RECORDED[f"filter {name}"]
    for way, (tensor, what) in same_filter(FILTERS[name](weights), inputs).items():
        check(tensor, recorded[what], f"{name}: {way}", dtype)


@filters
def test_filters_have_the_recorded_structure(name: str) -> None:
    filter_ = FILTERS[name](Weights(**RECORDED["weights"]))
    assert structure(filter_, name) == RECORDED.structures[f"filter {name}"]


def test_every_case_is_compared() -> None:
    assert RECORDED.groups("layer ") == set(LAYERS | FAR)
    assert RECORDED.groups("filter ") == set(FILTERS)
    assert set(CAUSAL) | set(LONG) == {name for name in LAYERS if "position" in RECORDED[f"layer {name}"]}


PLANTED = [
    "FIR delays",
    "Multirate learned",
    "LFORouting",
    "ChannelBottleneck",
    "Residual",
    "far: LFORouting",
]


CAUGHT = [(name, torch.float64) for name in PLANTED] + [("Multirate", torch.float32)]


@pytest.mark.parametrize(("name", "dtype"), CAUGHT, ids=word)
def test_a_weight_that_is_off_is_caught(name: str, dtype: torch.dtype) -> None:
    off = {torch.float64: 1e-8, torch.float32: 1e-4}[dtype]
    for which, _ in build(name).named_parameters():
        layer = build(name, dtype)
        with torch.no_grad():
            layer.get_parameter(which).view(-1)[-1] += off  # planted, in one number
        with pytest.raises(AssertionError, match="is off by"):
            check_layer(layer, name, dtype)


def test_a_late_output_is_caught() -> None:
    class Late(d.FIR):
        def forward(self, x: Tensor, segment_ids: Tensor | None = None, **carry: Any) -> Tensor:
            return super().forward(x, segment_ids, **carry).roll(1, 1)  # planted

    late = Late(4, 4)
    late.load_state_dict(build("FIR identity").state_dict())
    with pytest.raises(AssertionError, match="forward is off by"):
        check_layer(late.double(), "FIR identity", torch.float64)


def test_a_gradient_that_is_off_is_caught() -> None:
    layer = build("Multirate")
    layer.low.register_hook(lambda grad: grad * (1 + 1e-9))  # planted: the outputs are right
    with pytest.raises(AssertionError, match="gradient of low is off by"):
        check_layer(layer, "Multirate", torch.float64)


def test_a_position_that_is_off_is_caught() -> None:
    with pytest.raises(AssertionError, match="position is"):
        check(torch.tensor([22]), torch.tensor([23.0], dtype=torch.float64), "position", torch.float64)

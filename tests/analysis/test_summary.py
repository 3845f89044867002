"""The table of a model's layers says what the layers say, and counts what runs."""

from fractions import Fraction

import pytest
import torch
from torch import nn

from dsptorch import EMA, FIR, AtRate, Chain, Decimate, FilterBank, Multirate, insert
from dsptorch.analysis import summary


def test_says_what_the_layers_say():
    model = nn.Sequential(nn.Linear(4, 4), EMA(4), FilterBank(4, num_bands=2))
    for row in summary(model):
        layer = model.get_submodule(row.name)
        said = (layer.rate, layer.delay, layer.lookahead, layer.period, layer.receptive_field)
        assert row[2:7] == said
        assert row.parameters == sum(p.numel() for p in layer.parameters())
    assert [row.kind for row in summary(model)] == ["EMA", "FilterBank"]


def test_finds_layers_that_were_inserted_and_layers_in_layers():
    model = nn.Sequential(nn.Linear(4, 4))
    insert(model, "0", lambda linear: Chain(FIR(4), Multirate(4)))
    assert [row.name for row in summary(model)] == [
        "0.dsp_before",
        "0.dsp_before.layers.0",
        "0.dsp_before.layers.1",
    ]
    assert summary(nn.Linear(4, 4)) == ()


@pytest.mark.parametrize(
    ("layer", "cost"),
    [
        (FIR(8, kernel_size=3), 24),
        (Decimate(8, 4, kernel_size=8), 16),
    ],
)
def test_counts_multiplications_a_sample(layer, cost):
    """A filter of k taps: k for each output channel."""
    assert summary(layer, time=64)[0].cost == pytest.approx(cost)


def test_a_matrix_at_a_quarter_of_the_rate_costs_a_quarter():
    full, slow = Chain(FIR(8, 3)), AtRate(nn.Linear(8, 8, bias=False), 4, d_model=8)
    rows = {row.kind: row.cost for row in summary(slow, time=64)}
    assert rows["AtRate"] - rows["Decimate"] - rows["Upsample"] / 4 == pytest.approx(8 * 8 / 4)
    assert summary(full, time=64)[0].cost == 24


def test_leaves_the_model_as_it_was():
    model = nn.Sequential(EMA(4)).train().double()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    summary(model)
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())


def test_prints_a_row_for_each_layer():
    lines = str(summary(Chain(EMA(4), Decimate(4, 2)))).splitlines()
    assert lines[0].split() == [
        "name",
        "layer",
        "rate",
        "delay",
        "lookahead",
        "period",
        "field",
        "parameters",
        "cost",
    ]
    assert [line.split()[1] for line in lines[1:]] == ["Chain", "EMA", "Decimate"]
    assert lines[2].split()[6] == "-"  # unbounded
    assert summary(Chain(EMA(4), Decimate(4, 2)))[0].rate == Fraction(1, 2)


@pytest.mark.parametrize(
    ("model", "time", "error"),
    [(torch.ones, 8, TypeError), (FIR(2), 0, ValueError), (FIR(2), True, ValueError)],
)
def test_refuses(model, time, error):
    with pytest.raises(error, match="expected an"):
        summary(model, time=time)

"""Hyperparameters are found by name, and grouped for the optimizer."""

import copy
import math

import pytest
import torch
from torch import nn

from dsptorch import (
    FIR,
    BoundedHyperparam,
    Chain,
    LFORouting,
    Multirate,
    named_hyperparams,
    param_groups,
)
from tests.layers.table import LAYERS, build
from tests.tolerances import assert_same


def test_named_hyperparams():
    model = nn.ModuleDict({"a": Multirate(4), "b": Chain(FIR(4), LFORouting(4))})
    assert [name for name, _ in named_hyperparams(model)] == [
        "a.mix_ratio",
        "a.detail_strength",
        "b.layers.1.residual_mix",
        "b.layers.1.gate_temperature",
        "b.layers.1.gate.freq",
    ]
    shared = BoundedHyperparam(0.5, 0.2, 0.6)
    model = nn.Sequential(Multirate(4, mix_ratio=shared), Multirate(4, mix_ratio=shared))
    found = list(named_hyperparams(model))
    assert len(found) == len({id(h) for _, h in found}) == 3


def check_groups(groups_of, model):
    groups = groups_of(model)
    decayed, others = (group["params"] for group in groups)
    assert [group["weight_decay"] for group in groups] == [0.1, 0.0]
    ids = [id(p) for group in groups for p in group["params"]]
    assert len(ids) == len(set(ids))
    assert set(ids) == {id(p) for p in model.parameters() if p.requires_grad}
    spared = {id(p) for p in others}
    for module in model.modules():
        if isinstance(module, BoundedHyperparam):
            assert id(module.raw) in spared
        if isinstance(module, FIR):
            assert id(module.weight) in spared
        if isinstance(module, Multirate):
            assert {id(module.low), id(module.recon), id(module.detail)} <= spared
        if isinstance(module, LFORouting):
            assert {id(p) for p in module.gate.parameters()} <= spared
        if isinstance(module, nn.Linear | nn.Embedding):
            assert id(module.weight) in {id(p) for p in decayed}
    assert all(p.dim() >= 2 for p in decayed)


def _model():
    mix = BoundedHyperparam(torch.full((2, 2), 0.5), 0.2, 0.6)
    model = nn.ModuleList([build(name) for name in LAYERS] + [nn.Embedding(5, 4), nn.Linear(4, 5), mix])
    model[-2].weight = nn.Parameter(torch.zeros(5, 4))
    model.append(nn.Linear(4, 5, bias=False))
    model[-1].weight = model[-3].weight  # tied
    model[-4].weight.requires_grad_(True)
    model.append(nn.LayerNorm(4))
    for parameter in model[-1].parameters():
        parameter.requires_grad_(False)
    return model


def test_groups_hold_every_parameter_once_and_decay_no_raw_and_no_taps():
    check_groups(lambda model: param_groups(model, weight_decay=0.1), _model())


@pytest.mark.parametrize(
    "broken",
    [
        lambda groups: [groups[0], {**groups[1], "params": groups[1]["params"][:-1]}],
        lambda groups: [groups[0], {**groups[1], "params": [*groups[1]["params"], groups[0]["params"][0]]}],
        lambda groups: [
            {**groups[0], "params": groups[0]["params"] + groups[1]["params"]},
            {**groups[1], "params": []},
        ],
        lambda groups: groups[::-1],
    ],
    ids=["one lost", "one twice", "all decayed", "swapped"],
)
def test_wrong_groups_are_caught(broken):
    with pytest.raises(AssertionError):
        check_groups(lambda model: broken(param_groups(model, weight_decay=0.1)), _model())


def test_groups_survive_a_copy_of_the_model():
    check_groups(lambda model: param_groups(model, weight_decay=0.1), copy.deepcopy(_model()))


def test_groups_make_an_optimizer():
    model = nn.Sequential(Multirate(4), nn.Linear(4, 4))
    optimizer = torch.optim.AdamW(param_groups(model, weight_decay=0.1), lr=1e-3)
    taps = model[0].low.detach().clone()
    model.zero_grad()
    (0 * model(torch.randn(1, 5, 4)).sum()).backward()
    optimizer.step()
    assert_same(model[0].low.detach(), taps)


@pytest.mark.parametrize("decay", [-0.1, math.nan, math.inf])
def test_groups_refuse_a_decay_that_is_none(decay):
    with pytest.raises(ValueError, match=f"weight_decay.*at least 0, got {decay}"):
        param_groups(nn.Linear(2, 2), weight_decay=decay)


def test_param_groups_takes_timms_method():
    class Timm(torch.nn.Linear):
        def no_weight_decay(self):
            return {"weight"}

    decayed, others = param_groups(Timm(2, 2), weight_decay=0.1)
    assert (len(decayed["params"]), len(others["params"])) == (0, 2)

"""Hyperparameters are found by name, and grouped for the optimizer."""

import copy

import pytest
import torch
from torch import nn

from dsptorch import FIR, BoundedHyperparam, Chain, LFORouting, Multirate, named_hyperparams, param_groups
from tests.layers.table import LAYERS, build


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


def check_groups(groups_of, model, controlled=()):
    """Every parameter that trains is in one group, but for the raw values that somebody else moves."""
    groups = groups_of(model)
    decayed, others = (group["params"] for group in groups)
    assert [group["weight_decay"] for group in groups] == [0.1, 0.0]
    ids = [id(p) for group in groups for p in group["params"]]
    assert len(ids) == len(set(ids))
    assert set(ids) == {id(p) for p in model.parameters() if p.requires_grad} - {
        id(h.raw) for h in controlled
    }
    spared = {id(p) for p in others}
    for module in model.modules():
        if isinstance(module, BoundedHyperparam | FIR):
            assert {id(p) for p in module.parameters(recurse=False)} & set(ids) <= spared
        if isinstance(module, Multirate):
            assert {id(module.low), id(module.recon), id(module.detail)} <= spared
        if isinstance(module, LFORouting):
            assert {id(p) for p in module.gate.parameters()} & set(ids) <= spared
        if isinstance(module, nn.Linear | nn.Embedding):
            assert id(module.weight) in {id(p) for p in decayed}
    assert all(p.dim() >= 2 for p in decayed)


def every_layer():
    """Every layer, hyperparameters of several values, tied weights, and parameters that are frozen."""
    mix = BoundedHyperparam(torch.full((2, 2), 0.5), 0.2, 0.6)
    embedding, head, norm = nn.Embedding(5, 4), nn.Linear(4, 5, bias=False), nn.LayerNorm(4)
    head.weight = embedding.weight
    return nn.ModuleList([*map(build, LAYERS), embedding, mix, head, norm.requires_grad_(False)])


def groups_of(model):
    return param_groups(model, weight_decay=0.1)


def test_groups_hold_every_parameter_once_and_decay_no_raw_and_no_taps():
    check_groups(groups_of, every_layer())
    check_groups(groups_of, copy.deepcopy(every_layer()))


def with_params(groups, decayed, others):
    return [{**groups[0], "params": decayed}, {**groups[1], "params": others}]


BROKEN = {
    "one lost": lambda groups, decayed, others: with_params(groups, decayed, others[:-1]),
    "one twice": lambda groups, decayed, others: with_params(groups, decayed, [*others, decayed[0]]),
    "all decayed": lambda groups, decayed, others: with_params(groups, decayed + others, []),
    "swapped": lambda groups, decayed, others: groups[::-1],
}


@pytest.mark.parametrize("broken", BROKEN)
def test_wrong_groups_are_caught(broken):
    def broken_groups_of(model):
        groups = groups_of(model)
        return BROKEN[broken](groups, *(group["params"] for group in groups))

    with pytest.raises(AssertionError):
        check_groups(broken_groups_of, every_layer())


def test_param_groups_takes_timms_method():
    class Timm(nn.Linear):
        def no_weight_decay(self):
            return {"weight"}

    decayed, others = param_groups(Timm(2, 2), weight_decay=0.1)
    assert (len(decayed["params"]), len(others["params"])) == (0, 2)

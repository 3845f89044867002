"""Wrong bounds, values and arguments get an error that says what was expected, and what came."""

import math

import pytest
import torch
from torch import nn

from dsptorch import BoundedHyperparam, ChannelBottleneck, LFORouting, Multirate, param_groups
from dsptorch.hyperparams import check_hyperparam


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((0.5, 1.0, 0.0), {}, r"low < high, got low=1\.0, high=0\.0"),
        ((0.5, 0.5, 0.5), {}, r"low < high, got low=0\.5, high=0\.5"),
        ((0.5, -math.inf, 1.0), {}, r"finite.*got low=-inf"),
        ((0.5, 0.0, math.nan), {}, r"finite.*high=nan"),
        ((0.5, 0.0, 1.0), {"log": True}, r"logarithmic scale needs low > 0, got low=0\.0"),
        ((1.5, 0.0, 1.0), {}, r"\[0\.0, 1\.0\], got 1\.5"),
        ((math.nan, 0.0, 1.0), {}, r"\[0\.0, 1\.0\], got nan"),
        ((torch.tensor([0.5, 3.0]), 0.0, 1.0), {}, r"\[0\.0, 1\.0\], got 3\.0"),
        ((0.5, 0.0, 1.0), {"dtype": torch.bfloat16}, r"float32 or torch\.float64, got torch\.bfloat16"),
        ((2, 1, 8.5), {"integer": True}, r"whole numbers as bounds, got low=1, high=8\.5"),
        ((2, 1, math.inf), {"integer": True}, "whole numbers.*high=inf"),
        ((2, 1, math.nan), {"integer": True}, "whole numbers.*high=nan"),
        ((2, 1, 8), {"integer": True, "log": True}, "linear scale, got log=True"),
        ((2, 1, 100_000), {"integer": True}, "at most 10000 in size, got low=1, high=100000"),
        ((9, 1, 8), {"integer": True}, r"\[1\.0, 8\.0\], got 9"),
        ((3, 3, 3), {"integer": True}, "low < high"),
        ((0.5, 1e-38, 3e38), {"log": True}, r"greatest gradient, must fit in torch\.float32, got low=1e-38"),
        ((0.5, 1e-40, 1.0), {"log": True}, r"low must be at least 1\.18e-38"),
        ((0.5, -3e38, 3e38), {}, "their distance must fit in torch.float32"),
        (
            (torch.full((3,), 0.5), 0.0, 1.0),
            {"shape": (2,)},
            r"fit shape=\(2,\), got a tensor of shape \(3,\); give",
        ),
        (
            (torch.full((2, 3), 0.5), 0.0, 1.0),
            {"shape": (3,)},
            r"fit shape=\(3,\), got a tensor of shape \(2, 3\)",
        ),
    ],
)
def test_an_interval(args, kwargs, message):
    with pytest.raises(ValueError, match=message):
        BoundedHyperparam(*args, **kwargs)


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        (("0.5", 0.0, 1.0), {}, "init must be a number or a tensor, got '0.5' of type str"),
        ((True, 0.0, 1.0), {}, "init must be a number"),
        ((0.5, "0", 1.0), {}, "low must be a number, got '0'"),
        ((0.5, 0.0, None), {}, "high must be a number, got None"),
        ((0.5, 0.0, 1.0), {"log": "no"}, "log must be True or False, got 'no' of type str"),
        ((1, 0.0, 2.0), {"integer": 1}, "integer must be True or False, got 1 of type int"),
    ],
)
def test_a_type(args, kwargs, message):
    with pytest.raises(TypeError, match=message):
        BoundedHyperparam(*args, **kwargs)


@pytest.mark.parametrize("bad", [True, "1", None, torch.tensor(0.5)])
def test_an_argument_that_is_neither_a_number_nor_a_hyperparameter(bad):
    with pytest.raises(TypeError, match=r"m must be a float .* or a BoundedHyperparam"):
        check_hyperparam("m", bad)


def test_an_argument_of_other_bounds_or_another_shape():
    with pytest.raises(ValueError, match=r"m must stay in \[0\.2, 1\], got bounds \[0\.1, 0\.9\]"):
        check_hyperparam("m", BoundedHyperparam(0.5, 0.1, 0.9), 0.2, 1.0)
    with pytest.raises(ValueError, match="bottleneck_ratio must hold 1 value"):
        ChannelBottleneck(8, bottleneck_ratio=BoundedHyperparam(0.2, 0.1, 0.3, shape=(8,)))


@pytest.mark.parametrize(
    ("kind", "argument"),
    [
        (Multirate, "mix_ratio"),
        (Multirate, "detail_strength"),
        (LFORouting, "residual_mix"),
        (ChannelBottleneck, "bottleneck_ratio"),
    ],
)
def test_an_integer_where_any_number_is_meant(kind, argument):
    with pytest.raises(TypeError, match=r"takes any number.*integer=True\); leave out integer=True"):
        kind(4, **{argument: BoundedHyperparam(0.5, 0, 1, integer=True)})


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda h: h.nearest, AttributeError),
        (lambda h: h.weights(), TypeError),
        (lambda h: h.harden(), TypeError),
    ],
)
def test_a_real_one_has_no_integers(call, kind):
    with pytest.raises(kind, match=r"of integers, got BoundedHyperparam\(0\.4.*integer=True.*freeze"):
        call(BoundedHyperparam(0.4, 0.2, 0.6))


@pytest.mark.parametrize("decay", [-0.1, math.nan, math.inf])
def test_groups_of_a_decay_that_is_none(decay):
    with pytest.raises(ValueError, match=f"weight_decay.*at least 0, got {decay}"):
        param_groups(nn.Linear(2, 2), weight_decay=decay)

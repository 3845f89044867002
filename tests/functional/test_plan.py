"""Plans: equal ones are one object, also copied; slots are renamed; what is shared is computed once."""

import copy
import gc
import pickle
import sys

import pytest
import torch
from hypothesis import strategies as st

from dsptorch import PeriodicFIR
from dsptorch.functional import cascade, multirate
from dsptorch.functional import fold as folding
from dsptorch.functional.multirate import multirate_plan
from dsptorch.functional.plan import (
    IDENTITY,
    DecimateHold,
    Literal,
    Plan,
    Product,
    Shift,
    Slot,
    Sum,
    _Interned,
    hold,
)
from dsptorch.functional.support import Support
from tests.strategies import Leaves, expressions, fails, holds, signals


def taps(slot, count=3):
    return Literal(Slot(slot), Support.full(1, tuple(range(count))), 1)


def check_one_object(again, expression):
    plan = expression.build().plan
    assert again(plan, expression) is plan


def _uninterned(plan, expression):
    fresh = object.__new__(type(plan))
    fresh.__dict__.update(plan.__dict__)
    return fresh


def test_equal_plans_are_one_object():
    for again in (
        lambda plan, expression: expression.build().plan,
        lambda plan, expression: copy.copy(plan),
        lambda plan, expression: copy.deepcopy([plan])[0],
        lambda plan, expression: pickle.loads(pickle.dumps(plan)),  # noqa: S301
        lambda plan, expression: plan.renumbered(range(99)),
        lambda plan, expression: plan.at_rate(1),
        lambda plan, expression: plan @ IDENTITY,
        lambda plan, expression: IDENTITY @ plan,
    ):
        holds(lambda expression, again=again: check_one_object(again, expression), expressions())
    fails(lambda expression: check_one_object(_uninterned, expression), expressions())


def test_different_plans_are_different():
    assert taps(0) is not taps(1)
    assert taps(0) is not taps(0, 4)
    assert taps(0) @ taps(1) is not taps(1) @ taps(0)
    assert taps(0) + taps(1) is not taps(0) - taps(1)
    assert hold(2) is not hold(3)
    assert Shift(1) is not Shift(2)


def test_a_plan_that_nothing_uses_is_forgotten():
    key = (Shift, (12345,))
    plan = Shift(12345)
    assert key in _Interned._known
    del plan
    gc.collect()
    assert key not in _Interned._known


def check_renamed(rename, expression, x, seed):
    """The weights in another order, and the slots renamed accordingly, are the same filter."""
    leaves = Leaves()
    f = expression.filter(leaves)
    count = len(f.weights)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist()
    weights = [None] * count
    for slot, weight in zip(order, f.weights, strict=True):
        weights[slot] = weight
    assert torch.equal(PeriodicFIR(rename(f.plan, order), weights)(x), f(x))


def _check_not_renamed(expression, x, seed):
    try:
        check_renamed(lambda plan, order: plan, expression, x, seed)
    except RuntimeError as error:  # the weights may not even fit their slots
        raise AssertionError from error


def test_renumbered_plans_find_their_weights():
    cases = expressions(), signals(), st.integers(0, 99)
    holds(lambda *case: check_renamed(Plan.renumbered, *case), *cases)
    plan = taps(0) @ hold(2) @ taps(1) + taps(2).scaled(3)
    assert plan.renumbered([5, 6, 7, 8]) is taps(5) @ hold(2) @ taps(6) + taps(7).scaled(8)
    fails(_check_not_renamed, *cases, times=4)


def test_neighbours_merge():
    assert taps(0) @ IDENTITY is taps(0)
    assert IDENTITY.at_rate(3) is IDENTITY
    assert Shift(2).at_rate(3) is Shift(6)
    assert hold(1) is IDENTITY
    kept = taps(0).at_rate(2) @ hold(2) @ taps(1)
    assert isinstance(kept, DecimateHold)
    assert (kept.inner, kept.prefilter) == (taps(0), taps(1))
    assert isinstance(taps(0).at_rate(3) @ hold(2), Product)


def test_a_filter_without_a_period_has_none_at_a_lower_rate():
    assert PeriodicFIR.fir(torch.ones(3)).at_rate(4).period == 1
    assert PeriodicFIR.fir(torch.ones(2, 3, 1)).at_rate(4).period == 8
    assert PeriodicFIR.hold(3).at_rate(4).period == 12


def shared():
    coarse = PeriodicFIR.fir(torch.ones(3)) @ PeriodicFIR.hold(2) @ PeriodicFIR.fir(torch.ones(2))
    return coarse + 0.5 * (PeriodicFIR.fir(torch.ones(4)) @ (PeriodicFIR.identity() - coarse))


@pytest.mark.parametrize(("module", "name", "fold"), [(folding, "_weight", True), (cascade, "_parts", False)])
def test_what_is_shared_runs_once(module, name, fold, monkeypatch):
    """The coarse band occurs twice."""
    x, right, runs = torch.ones(1, 8, 1), getattr(module, name), []

    def counted(plan, *args):
        runs.append(repr(plan))
        return right(plan, *args)

    monkeypatch.setattr(module, name, counted)
    shared()(x, fold=fold)
    assert len(runs) > 5
    for part in set(runs) - {"Shift(0)"}:  # the identity runs on more than one signal
        assert runs.count(part) == 1
    once = len(runs)
    monkeypatch.setattr(_Interned, "__call__", type.__call__)  # equal plans are several objects
    runs.clear()
    shared()(x, fold=fold)
    assert len(runs) > once


def test_one_weight_in_two_places_has_one_slot():
    low, gain = PeriodicFIR.fir(torch.rand(3)), torch.rand(1)
    f = gain * low + gain * (low @ PeriodicFIR.delay(1))
    assert len(f.weights) == 2
    assert len((gain * low + gain.clone() * low).weights) == 3
    assert isinstance(f.plan, Sum)


def calls_of(function, *args):
    """The result, and how many functions of Python were called for it: the same number on every machine."""
    calls = 0

    def count(frame, event, arg):
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        return function(*args), calls
    finally:
        sys.setprofile(None)


@pytest.mark.parametrize("levels", [1, 6, 10])
def test_many_levels_are_built_with_little_work(levels):
    plan, calls = calls_of(multirate_plan, levels, 4, 8, 2)
    assert calls < 1000 * 2**levels
    assert plan.support.period == 2**levels
    low = torch.rand(levels, 4, 8)
    f = multirate(low, low, low, downsample=2, mix_ratio=0.4, detail_strength=0.75)
    assert f.plan is plan


def test_prints_what_it_is():
    plan = hold(2) @ taps(0)
    assert repr(plan).startswith("DecimateHold(Shift(0), 2, Literal(0, Support(period=1, lags=(0, 1, 2)")
    assert "Scaled" in repr(plan.scaled(1))


def test_a_product_makes_each_group_of_neighbours_once(monkeypatch):
    """A time that doubles with each factor let the folding of twenty filters in a chain hang."""
    made, init = [], Product.__init__

    def counted(self, factors):
        made.append(factors)
        init(self, factors)

    monkeypatch.setattr(Product, "__init__", counted)
    count = 14
    product = Product(tuple(taps(100 + i) for i in range(count)))
    assert product.folds
    assert len(made) == len(set(made)) == count * (count - 1) // 2

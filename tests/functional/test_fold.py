"""Folded taps: of all phases, and at some times only."""

import pytest
import torch
from hypothesis import strategies as st

from dsptorch import PeriodicFIR
from dsptorch.functional import fold_at as fold_at_module
from dsptorch.functional.fold import Folding, fold
from dsptorch.functional.fold_at import fold_at
from dsptorch.functional.plan import Literal, Slot, WeightedHold
from dsptorch.functional.support import Support
from tests.oracles import lptv_loop
from tests.strategies import expressions, fails, holds, signals

LIKE = torch.empty((), dtype=torch.float64)


@st.composite
def plans(draw):
    """(plan, weights): of every part, of periods up to some hundreds."""

    def leaf():
        kind = draw(st.sampled_from(["taps", "periodic", "holds", "expression"]))
        if kind == "holds":
            factors = tuple(sorted(draw(st.sets(st.integers(1, 7), min_size=1, max_size=3))))
            return WeightedHold(factors, slot(len(factors)))
        if kind == "expression":
            f = draw(expressions())
            weights.extend(f.build().weights)
            return f.build().plan.renumbered(range(len(weights) - len(f.build().weights), len(weights)))
        period, count = (1 if kind == "taps" else draw(st.integers(2, 5))), draw(st.integers(1, 3))
        support = Support.full(period, tuple(range(draw(st.integers(-2, 1)), 9))[:count])
        return Literal(slot(period, count, 1), support, 1)

    def slot(*shape):
        weights.append(torch.randint(-3, 4, shape, generator=generator).double())
        return Slot(len(weights) - 1)

    weights, generator = [], torch.Generator().manual_seed(draw(st.integers(0, 99)))
    plan = leaf()
    for _ in range(draw(st.integers(0, 3))):
        how = draw(st.sampled_from(["after", "before", "sum", "rate", "hold", "gain"]))
        if how == "after":
            plan = leaf() @ plan
        elif how == "before":
            plan = plan @ leaf()
        elif how == "sum":
            plan = plan - leaf()
        elif how == "rate":
            plan = plan.at_rate(draw(st.integers(2, 3)))
        elif how == "hold":
            factor = draw(st.integers(2, 3))
            plan = plan.at_rate(factor) @ PeriodicFIR.hold(factor).plan @ leaf()
        else:
            plan = plan.scaled(slot(1))
        if plan.support.period > 600:
            break
    return plan, weights


TIMES = st.lists(st.integers(-50, 10**13), min_size=1, max_size=3)


def check_times(at, case, times):
    plan, weights = case
    whole, times = fold(plan, weights, LIKE), torch.tensor(times)
    assert whole.shape[:2] == (plan.support.period, len(plan.support.lags))
    some = at(plan, weights, times)
    expected = whole[times.remainder(plan.support.period)]
    assert torch.equal(some.expand_as(expected), expected)


def at_times(plan, weights, times):
    return fold_at(plan, weights, times, LIKE)


@pytest.mark.parametrize("few", [0, 16])
def test_folded_at_some_times_is_folded_at_those_phases(few, monkeypatch):
    """Whether or not short periods are folded whole."""
    monkeypatch.setattr("dsptorch.functional.fold_at.FEW_PHASES", few)
    holds(lambda *case: check_times(at_times, *case), plans(), TIMES, times=5)


def test_wrong_times_are_caught(monkeypatch):
    fails(lambda *case: check_times(lambda p, w, t: at_times(p, w, t + 1), *case), plans(), TIMES, times=5)
    fails(lambda *case: check_times(lambda p, w, t: at_times(p, w, t % 16), *case), plans(), TIMES, times=5)
    monkeypatch.setattr("dsptorch.functional.fold_at.FEW_PHASES", 0)
    right = fold_at_module._product_at
    monkeypatch.setattr(
        fold_at_module, "_product_at", lambda factors, times, given: right(factors, 0 * times, given)
    )
    fails(lambda *case: check_times(at_times, *case), plans(), TIMES, times=5)


def test_gradients_flow_from_some_times():
    holds_ = WeightedHold((2, 3, 7), Slot(0))
    plan = Literal(Slot(1), Support.full(2, (0, 2)), 1) @ holds_ + holds_.at_rate(2).scaled(2)
    weights = [
        torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in ((3,), (2, 2, 1), (1,))
    ]
    times = torch.tensor([[3, 41], [10**9, 0]])
    assert torch.autograd.gradcheck(lambda *w: fold_at(plan, w, times, LIKE), weights)
    v = torch.randn(2, 2, len(plan.support.lags), 1, dtype=torch.float64)
    some, whole = (
        torch.autograd.grad((taps * v).sum(), weights)
        for taps in (
            fold_at(plan, weights, times, LIKE),
            fold(plan, weights, LIKE)[times % plan.support.period],
        )
    )
    for one, other in zip(some, whole, strict=True):
        assert torch.allclose(one, other)


def test_folded_taps_are_the_filter():
    def check(roll, case, x):
        plan, weights = case
        weight = fold(plan, weights, LIKE).roll(roll, 0)
        assert torch.equal(PeriodicFIR(plan, weights)(x, fold=False), lptv_loop(x, weight, plan.support.lags))

    holds(lambda *case: check(0, *case), plans(), signals(max_time=30), times=2)
    fails(lambda *case: check(1, *case), plans(), signals(max_time=30), times=2)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_folds_in_float32_at_least(dtype):
    """Each product of taps is exact, although half precision could not hold it."""
    plan = Literal(Slot(0), Support.full(1, (0, 1)), 1) @ Literal(Slot(1), Support.full(1, (0, 1)), 1)
    weights = [torch.tensor([1.0, 1 + 2**-6]).to(dtype), torch.tensor([1.0, 1 - 2**-6]).to(dtype)]
    for taps in (
        fold(plan, weights, LIKE.to(dtype)),
        fold_at(plan, weights, torch.tensor([0]), LIKE.to(dtype))[0],
    ):
        assert taps.flatten().tolist() == [1, 2, 1 - 2**-12]
        assert taps.dtype == torch.float32


def test_a_part_is_folded_once():
    plan = Literal(Slot(0), Support.full(1, (0, 1)), 1)
    given = Folding([torch.ones(2)], LIKE)
    assert given.taps(plan) is given.taps(plan)

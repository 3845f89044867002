"""Plan and weights -> taps at some times only: for periods that are longer than what is filtered."""

from collections.abc import Sequence
from functools import singledispatch

import torch
from torch import Tensor

from dsptorch.functional.fold import Folding, Weight, collected_taps, gain, moved_taps, weighted_hold
from dsptorch.functional.plan import DecimateHold, Dilated, Plan, Product, Scaled, Sum, WeightedHold, hold

__all__ = ["fold_at"]

_FEW_PHASES = 16  # so many are folded at once, and then chosen from


def fold_at(plan: Plan, weights: Sequence[Weight], times: Tensor, like: Tensor) -> Tensor:
    """Fold a plan at given times.

    Args:
        plan: The structure.
        weights: One for each slot.
        times: Positions in the signal.
        like: As in `fold`.

    Shape:
        times: int64, (...). Result: (..., len(plan.support.lags), channels or 1).
    """
    return _at(plan, times, Folding(weights, like))


def _at(plan: Plan, times: Tensor, folding: Folding) -> Tensor:
    """The taps at given times: (...) -> (..., lags, channels)."""
    period = plan.support.period
    few = period <= _FEW_PHASES or (not torch.compiler.is_compiling() and period <= times.numel())
    if few and not isinstance(plan, WeightedHold):
        return folding.taps(plan).weight[times.remainder(period)]
    return _weight_at(plan, times, folding)


@singledispatch
def _weight_at(plan: Plan, times: Tensor, folding: Folding) -> Tensor:
    return folding.taps(plan).weight[times.remainder(plan.support.period)]


@_weight_at.register
def _(plan: Scaled, times: Tensor, folding: Folding) -> Tensor:
    return _at(plan.inner, times, folding) * gain(plan, folding.weights)


@_weight_at.register
def _(plan: Sum, times: Tensor, folding: Folding) -> Tensor:
    first, second = (
        moved_taps(_at(part, times, folding), part.support.lags, plan.support.lags)
        for part in (plan.first, plan.second)
    )
    return first + second


@_weight_at.register
def _(plan: Product, times: Tensor, folding: Folding) -> Tensor:
    return _product_at(plan.factors, times, folding)


@_weight_at.register
def _(plan: DecimateHold, times: Tensor, folding: Folding) -> Tensor:
    factors = plan.inner.at_rate(plan.factor), hold(plan.factor), plan.prefilter
    return _product_at(factors, times, folding)


@_weight_at.register
def _(plan: Dilated, times: Tensor, folding: Folding) -> Tensor:
    return _at(plan.inner, times.div(plan.factor, rounding_mode="floor"), folding)


_weight_at.register(WeightedHold)(weighted_hold)


def _product_at(factors: tuple[Plan, ...], times: Tensor, folding: Folding) -> Tensor:
    weight, support = _at(factors[0], times, folding), factors[0].support
    for factor in factors[1:]:
        lags = torch.tensor(support.lags, device=times.device)
        products = weight.unsqueeze(-2) * _at(factor, times.unsqueeze(-1) - lags, folding)
        product = support.after(factor.support)
        weight = collected_taps(products, support.lags, factor.support.lags, product.lags)
        support = product
    return weight

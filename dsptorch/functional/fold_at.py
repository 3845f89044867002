"""Fold a plan and its weights into the taps at given times.

A chunk needs only the taps at its own times: fewer than all, if the period is long.
"""

from collections.abc import Sequence
from functools import singledispatch

import torch
from torch import Tensor

from dsptorch.functional.fold import (
    Folding,
    Weight,
    collected_taps,
    gain,
    held_support,
    held_taps,
    moved_taps,
    weighted_hold,
)
from dsptorch.functional.plan import (
    DecimateHold,
    Dilated,
    Plan,
    Product,
    Scaled,
    Sum,
    WeightedHold,
)
from dsptorch.functional.support import Support

__all__ = ["FEW_PHASES", "fold_at"]

FEW_PHASES = 16  # up to this period all phases are folded, and the times choose among them


def fold_at(plan: Plan, weights: Sequence[Weight], times: Tensor, like: Tensor) -> Tensor:
    """Fold a plan at given times.

    Args:
        plan: The structure.
        weights: One weight for each slot.
        times: Positions in the signal.
        like: See `fold`.

    Shape:
        times: int64, (...). Result: (..., len(plan.support.lags), channels or 1).
    """
    return _at(plan, times, Folding(weights, like))


def _at(plan: Plan, times: Tensor, folding: Folding) -> Tensor:
    """The taps at given times: (...) -> (..., lags, channels)."""
    period = plan.support.period
    few = period <= FEW_PHASES or (not torch.compiler.is_compiling() and period <= times.numel())
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
    inner = _at(plan.inner, times.div(plan.factor, rounding_mode="floor"), folding)
    chosen = times.remainder(plan.factor).unsqueeze(-1) == torch.arange(plan.factor, device=times.device)
    weight = held_taps(inner, chosen.to(folding.like.dtype))
    return _after(weight, held_support(plan), plan.prefilter, times, folding)[0]


@_weight_at.register
def _(plan: Dilated, times: Tensor, folding: Folding) -> Tensor:
    return _at(plan.inner, times.div(plan.factor, rounding_mode="floor"), folding)


_weight_at.register(WeightedHold)(weighted_hold)


def _product_at(factors: tuple[Plan, ...], times: Tensor, folding: Folding) -> Tensor:
    weight, support = _at(factors[0], times, folding), factors[0].support
    for factor in factors[1:]:
        weight, support = _after(weight, support, factor, times, folding)
    return weight


def _after(
    weight: Tensor, support: Support, first: Plan, times: Tensor, folding: Folding
) -> tuple[Tensor, Support]:
    """Compose the taps `weight` at given times with a filter that is applied before them."""
    lags = torch.tensor(support.lags, device=times.device)
    products = weight.unsqueeze(-2) * _at(first, times.unsqueeze(-1) - lags, folding)
    product = support.after(first.support)
    return collected_taps(products, support.lags, first.support.lags, product.lags), product

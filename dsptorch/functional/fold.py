"""Fold a plan and its weights into the taps of one filter.

The tensors here are (phases, taps, channels): thousands of numbers where the signal has millions. The code is
differentiable, so gradients flow through the folding to every weight.
"""

from collections.abc import Sequence
from functools import singledispatch
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from dsptorch.functional.plan import (
    DecimateHold,
    Dilated,
    Literal,
    Plan,
    Product,
    Scaled,
    Shift,
    Sum,
    WeightedHold,
)
from dsptorch.functional.support import Support

__all__ = [
    "Folding",
    "Taps",
    "Weight",
    "collected_taps",
    "fold",
    "gain",
    "held_support",
    "held_taps",
    "moved_taps",
    "weighted_hold",
]

Weight = Tensor | float


class Taps(NamedTuple):
    """The filter y[t] = sum over i of weight[t mod P, i] * x[t - support.lags[i]].

    Shape:
        weight: (support.period, len(support.lags), channels or 1).
    """

    weight: Tensor
    support: Support


class Folding:
    """The weights of a plan, and the taps of its parts, each part folded once."""

    def __init__(self, weights: Sequence[Weight], like: Tensor) -> None:
        self.weights = weights
        self.like = like.new_empty((), dtype=torch.promote_types(like.dtype, torch.float32))
        self._taps: dict[Plan, Taps] = {}

    def taps(self, plan: Plan) -> Taps:
        """The plan as one filter."""
        if plan not in self._taps:
            self._taps[plan] = Taps(_weight(plan, self), plan.support)
        return self._taps[plan]


def fold(plan: Plan, weights: Sequence[Weight], like: Tensor) -> Tensor:
    """Fold a plan into one weight tensor.

    Args:
        plan: The structure.
        weights: One weight for each slot.
        like: A tensor that gives the device, and the dtype if there is no weight tensor; float32 at least.

    Shape:
        Result: (plan.support.period, len(plan.support.lags), channels or 1).
    """
    return Folding(weights, like).taps(plan).weight


def gain(plan: Scaled, weights: Sequence[Weight]) -> Weight:
    """The gain of a scaled filter: one number, or one for each channel."""
    if plan.slot is None:
        return plan.factor
    weight = weights[plan.slot]
    weight = weight.reshape(-1) if isinstance(weight, Tensor) else weight
    return weight if plan.factor == 1 else weight * plan.factor


# All phases


@singledispatch
def _weight(plan: Plan, folding: Folding) -> Tensor:
    raise TypeError(f"expected a part of a plan, got {type(plan).__name__}")


@_weight.register
def _(plan: Literal, folding: Folding) -> Tensor:
    weight = torch.as_tensor(folding.weights[plan.slot])
    weight = weight.reshape(plan.support.period, len(plan.support.lags), plan.width)
    return weight.to(torch.promote_types(weight.dtype, torch.float32))


@_weight.register
def _(plan: Shift, folding: Folding) -> Tensor:
    return folding.like.new_ones(1, 1, 1)


@_weight.register
def _(plan: Scaled, folding: Folding) -> Tensor:
    return folding.taps(plan.inner).weight * gain(plan, folding.weights)


@_weight.register
def _(plan: Sum, folding: Folding) -> Tensor:
    first, second = (_placed(folding.taps(part), plan.support) for part in (plan.first, plan.second))
    return first + second


@_weight.register
def _(plan: Product, folding: Folding) -> Tensor:
    taps = folding.taps(plan.factors[-1])
    for factor in reversed(plan.factors[:-1]):
        taps = compose_taps(folding.taps(factor), taps)
    return taps.weight


@_weight.register
def _(plan: DecimateHold, folding: Folding) -> Tensor:
    inner = folding.taps(plan.inner)
    chosen = torch.eye(plan.factor, dtype=folding.like.dtype, device=folding.like.device)
    weight = held_taps(_dilated(inner, plan.factor).weight, chosen.repeat(inner.support.period, 1))
    return compose_taps(Taps(weight, held_support(plan)), folding.taps(plan.prefilter)).weight


@_weight.register
def _(plan: Dilated, folding: Folding) -> Tensor:
    return _dilated(folding.taps(plan.inner), plan.factor).weight


@_weight.register
def _(plan: WeightedHold, folding: Folding) -> Tensor:
    return weighted_hold(plan, torch.arange(plan.support.period, device=folding.like.device), folding)


def held_support(plan: DecimateHold) -> Support:
    """The support of the inner filter and the hold, without the prefilter."""
    return plan.inner.support.at_rate(plan.factor).after(Support.hold(plan.factor))


def held_taps(inner: Tensor, chosen: Tensor) -> Tensor:
    """The taps of a filter on a held signal: where the hold shows lag j, lag k becomes factor * k + j.

    Shape:
        inner: (..., taps, channels). chosen: (..., factor), 1 at lag j. Result: (..., taps * factor, channels).
    """
    return (inner.unsqueeze(-2) * chosen[..., None, :, None]).flatten(-3, -2)


def weighted_hold(plan: WeightedHold, times: Tensor, folding: Folding) -> Tensor:
    """The taps of several holds at given times: (...) -> (..., lags, 1)."""
    weights = torch.as_tensor(folding.weights[plan.slot])
    factors = torch.tensor(plan.factors, device=times.device)
    lags = torch.tensor(plan.support.lags, device=times.device)
    since = times.unsqueeze(-1).remainder(factors)  # the age of the sample that each hold shows
    # At most two of the hat weights are not 0, so the order of this sum does not matter.
    taps = ((since.unsqueeze(-2) == lags.unsqueeze(-1)) * weights).sum(-1, keepdim=True)
    return taps.to(torch.promote_types(taps.dtype, torch.float32))


def compose_taps(second: Taps, first: Taps) -> Taps:
    """Compose two filters, first `first`, then `second`: w[p, k + j] += second[p, k] * first[(p - lag_k) mod P, j]."""
    support = second.support.after(first.support)
    outer = _repeated(second, support.period).unsqueeze(2)
    if first.support.period == 1:
        products = outer * first.weight
    else:
        inner = _repeated(first, support.period)
        products = outer * _delayed(inner, support.period, second.support.lags)
    return Taps(collected_taps(products, second.support.lags, first.support.lags, support.lags), support)


def _delayed(weight: Tensor, period: int, lags: tuple[int, ...]) -> Tensor:
    """For each lag, the taps of phase p - lag at phase p: (P, taps, channels) -> (P, lags, taps, channels)."""
    shifts = [lag % period for lag in lags]
    rolled = {shift: weight.roll(shift, 0) if shift else weight for shift in set(shifts)}
    return torch.stack([rolled[shift] for shift in shifts], 1)


def collected_taps(
    products: Tensor, outer: tuple[int, ...], inner: tuple[int, ...], lags: tuple[int, ...]
) -> Tensor:
    """For each lag, sum the products of taps whose lags sum to it: (..., K, J, channels) -> (..., lags, channels)."""
    count, width = len(outer), len(inner)
    if not (count and width and lags):
        return products.new_zeros(*products.shape[:-3], len(lags), products.shape[-1])
    if _is_range(outer) and _is_range(inner):
        if count > width:  # the rows of the table are the shorter side
            products, count, width = products.transpose(-3, -2), width, count
        # Padding and flattening the table shifts each row of products one place further than the row before.
        length = count + width - 1
        skewed = F.pad(products, (0, 0, 0, count)).flatten(-3, -2)
        rows = skewed.narrow(-2, 0, count * length).unflatten(-2, (count, length))
        return _chosen(rows.sum(-3), range(outer[0] + inner[0], outer[0] + inner[0] + length), lags)
    terms = [
        moved_taps(products.select(-3, k), tuple(lag + j for j in inner), lags) for k, lag in enumerate(outer)
    ]
    return sum(terms[1:], terms[0])


def _chosen(weight: Tensor, lags: range, wanted: tuple[int, ...]) -> Tensor:
    """Drop the taps, (..., lags, channels), at unwanted lags."""
    if len(lags) == len(wanted):
        return weight
    runs = _runs([lags.index(lag) for lag in wanted])
    return torch.cat([weight.narrow(-2, start, count) for _, start, count in runs], -2)


def moved_taps(weight: Tensor, lags: tuple[int, ...], wanted: tuple[int, ...]) -> Tensor:
    """Move the taps, (..., lags, channels), to the wanted lags; drop taps at other lags."""
    if lags == wanted:
        return weight
    where = {lag: place for place, lag in enumerate(wanted)}
    moved = None
    for source, start, count in _runs([where.get(lag) for lag in lags]):
        taps = weight.narrow(-2, source, count)
        taps = F.pad(taps, (0, 0, start, len(wanted) - start - count))
        moved = taps if moved is None else moved + taps
    return weight.new_zeros(*weight.shape[:-2], len(wanted), weight.shape[-1]) if moved is None else moved


def _runs(places: Sequence[int | None]) -> list[tuple[int, int, int]]:
    """Split a list of indices into consecutive runs: (position in the list, first index, length)."""
    runs: list[tuple[int, int, int]] = []
    for index, place in enumerate(places):
        if place is None:
            continue
        if runs and runs[-1][0] + runs[-1][2] == index and runs[-1][1] + runs[-1][2] == place:
            runs[-1] = (*runs[-1][:2], runs[-1][2] + 1)
        else:
            runs.append((index, place, 1))
    return runs


def _is_range(lags: tuple[int, ...]) -> bool:
    return lags[-1] - lags[0] == len(lags) - 1


def _dilated(taps: Taps, factor: int) -> Taps:
    weight = taps.weight if taps.support.period == 1 else taps.weight.repeat_interleave(factor, 0)
    return Taps(weight, taps.support.at_rate(factor))


def _placed(taps: Taps, support: Support) -> Tensor:
    return moved_taps(_repeated(taps, support.period), taps.support.lags, support.lags)


def _repeated(taps: Taps, period: int) -> Tensor:
    copies = period // taps.support.period
    if taps.support.period == 1:
        return taps.weight.expand(copies, -1, -1)
    return taps.weight if copies == 1 else taps.weight.repeat(copies, 1, 1)

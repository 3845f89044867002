"""Fold layers for inference: hyperparameters become constants, and several filters become one."""

import copy
from functools import reduce, singledispatch
from typing import TypeGuard, cast

import torch
from torch import nn

from dsptorch.functional.fold import Weight
from dsptorch.functional.periodic_fir import PeriodicFIR
from dsptorch.functional.plan import Plan, Product
from dsptorch.hyperparams import BoundedHyperparam
from dsptorch.hyperparams.fixed import FixedHyperparam
from dsptorch.layers.bank_filters import FixedFilters
from dsptorch.layers.base import FilterLayer, Layer
from dsptorch.layers.blend import Blend
from dsptorch.layers.calling import is_hooked
from dsptorch.layers.chain import Chain
from dsptorch.layers.channel_bottleneck import ChannelBottleneck
from dsptorch.layers.combinators import Combined
from dsptorch.layers.filterbank import FilterBank, Synthesis
from dsptorch.layers.fir import Delay
from dsptorch.layers.fixed_filter import FixedFilter
from dsptorch.layers.lfo_gate import LFOGate
from dsptorch.layers.lifting import InverseLifting, Lifting
from dsptorch.layers.parallel import Parallel, Split
from dsptorch.layers.subbands import Subbands
from dsptorch.layers.wavelet import WaveletSynthesis, WaveletTree

__all__ = ["fold_layer"]

_LARGEST = 2**16  # taps of all phases of a channel: a larger filter is kept in parts
_LONGEST_RUN = 32  # layers that are merged together: the time grows with the fourth power of their number


def fold_layer(layer: Layer) -> Layer:
    """Return a layer for inference that gives the same numbers within rounding and shares nothing with this one.

    Its hyperparameters are constants, and nothing in it is learned. A layer with forward hooks or with a replaced
    forward is copied unchanged, because the effect of this code is unknown. To define how your own layer folds,
    register a function with `fold_layer.register(MyLayer)`.

    Args:
        layer: The layer, which is not changed.

    Example:
        >>> from dsptorch import FIR, Chain, Multirate
        >>> fold_layer(Chain(FIR(8, 3), Multirate(8)))
        FixedFilter(8, period=2, taps=13, lookahead=0)
    """
    return copy.deepcopy(layer).requires_grad_(False) if _does_more(layer) else _fold(layer)


@singledispatch
def _fold(layer: Layer) -> Layer:
    folded = copy.deepcopy(layer)
    _fix_hyperparams(folded)
    return folded.requires_grad_(False)


fold_layer.register = _fold.register  # type: ignore[attr-defined]


@_fold.register
def _fold_filter(layer: FilterLayer) -> Layer:
    with torch.no_grad():
        filter_ = layer.filter()
    support = layer.plan.support
    small = support.period * len(support.lags) <= _LARGEST
    if small and layer.plan.folds and not isinstance(layer, Delay):
        return FixedFilter(filter_, layer.d_model, delay=layer.delay).train(layer.training)
    folded = copy.deepcopy(layer)
    _fix_hyperparams(folded)
    return folded.requires_grad_(False)


@_fold.register
def _fold_chain(layer: Chain) -> Layer:
    members = [fold_layer(member) for member in layer.members]
    members = _merged(members)
    return (members[0] if len(members) == 1 else Chain(*members)).train(layer.training)


@_fold.register
def _fold_bank(layer: FilterBank) -> FilterBank:
    folded = copy.deepcopy(layer)
    with torch.no_grad():
        folded.filters = FixedFilters(layer.matrix(), layer.stride)
    return folded


@_fold.register
def _fold_synthesis(layer: Synthesis) -> Layer:
    return Synthesis(_fold_bank(layer.bank)).train(layer.training)


@_fold.register
def _fold_subbands(layer: Subbands) -> Layer:
    bank, *inner, _ = (fold_layer(member) for member in layer.members)
    return Subbands(bank, *inner).train(layer.training)


@_fold.register
def _fold_tree(layer: WaveletTree) -> WaveletTree:
    folded = copy.deepcopy(layer)
    with torch.no_grad():
        folded.filters = FixedFilters(layer.matrix(), 2)
    return folded


@_fold.register
def _fold_wavelet_synthesis(layer: WaveletSynthesis) -> Layer:
    return WaveletSynthesis(_fold_tree(layer.wavelet)).train(layer.training)


@_fold.register
@_fold.register
def _fold_parallel(layer: Parallel) -> Layer:
    folded = copy.deepcopy(layer)
    members = [fold_layer(member) for member in layer.members]
    folded.layers = nn.ModuleList(members)
    filters = [member.filter() for member in members if _is_filter(member)]
    if len(filters) < len(members):
        return folded
    return _if_cheaper(reduce(PeriodicFIR.__add__, filters), layer) or folded


@_fold.register
def _fold_split(layer: Split) -> Layer:
    folded = copy.deepcopy(layer)
    folded.layers = nn.ModuleList(fold_layer(member) for member in layer.members)
    return folded


@_fold.register(Lifting)
@_fold.register(InverseLifting)
def _fold_lifting(layer: Lifting | InverseLifting) -> Layer:
    folded = copy.deepcopy(layer)
    folded.layers = nn.ModuleList(fold_layer(member) for member in layer.members)
    return folded


@_fold.register
@_fold.register
def _fold_blend(layer: Blend) -> Layer:
    folded = copy.deepcopy(layer).requires_grad_(False)
    folded.layer = fold_layer(layer.layer)
    if not _is_filter(folded.layer):
        return folded
    gain = layer.gain.detach()
    if not gain.any():  # taps of 0 would turn infinity into NaN
        return Delay(layer.d_model, 0).train(layer.training)
    return _if_cheaper((1 - gain) * PeriodicFIR.identity() + gain * folded.layer.filter(), layer) or folded


@_fold.register
def _fold_gate(layer: LFOGate) -> Layer:
    folded = copy.deepcopy(layer)
    folded.layer = fold_layer(layer.layer)
    _fix_hyperparams(folded)
    return folded.requires_grad_(False)


@_fold.register
def _fold_bottleneck(layer: ChannelBottleneck) -> Layer:
    if layer.changed_part():
        return copy.deepcopy(layer).requires_grad_(False)
    folded = layer.compact(least=torch.finfo(torch.promote_types(layer.down.weight.dtype, torch.float32)).eps)
    _fix_hyperparams(folded)
    return folded.requires_grad_(False)


def _is_filter(layer: Layer | None) -> TypeGuard[FilterLayer]:
    """Whether a folded layer is a pure filter, so that it can be merged with others."""
    return isinstance(layer, FilterLayer) and not is_hooked(layer)


def _does_more(layer: Layer) -> bool:
    """Whether a call of a layer may run code other than its own; members of a combinator are checked separately."""
    if not isinstance(layer, (Combined, Blend, LFOGate)):
        return any(map(is_hooked, layer.modules()))
    members = layer.members if isinstance(layer, Combined) else [layer.layer]
    wrapped = any(not isinstance(member, Layer) for member in members)
    return is_hooked(layer) or wrapped


def _merged(members: list[Layer]) -> list[Layer]:
    """Fold neighbours into one filter where this is cheaper. Only causal ones: their chain equals their product."""
    done: list[Layer] = []
    run: list[FilterLayer] = []
    for member in [*members, None]:
        if _is_filter(member) and not member.lookahead:
            if len(run) == _LONGEST_RUN:
                done += _merged_run(run)
                run = []
            run.append(member)
            continue
        done += _merged_run(run)
        run = []
        if member is not None:
            done.append(member)
    return done


def _merged_run(run: list[FilterLayer]) -> list[Layer]:
    if len(run) < 2:
        return list(run)
    plans: list[Plan] = []
    weights: list[Weight] = []
    for layer in run:
        own = layer.weights()
        plans.append(layer.plan.renumbered(range(len(weights), len(weights) + len(own))))
        weights += own
    product = Product(tuple(reversed(plans)))  # the last factor is applied first
    groups = (product,) if product.folds else product.stages
    if any(group.support.period * len(group.support.lags) > _LARGEST for group in groups):
        return list(run)
    left = list(run)
    merged: list[Layer] = []
    for group in reversed(groups):
        count = 1 if group in plans else len(cast(Product, group).factors)
        taken, left = left[:count], left[count:]
        delay = sum(layer.delay for layer in taken)
        folded = FixedFilter(PeriodicFIR(group, weights), taken[0].d_model, delay=delay)
        merged.append(taken[0] if count == 1 else folded)
    return merged


def _if_cheaper(filter_: PeriodicFIR, layer: Layer) -> FixedFilter | None:
    if not filter_.plan.folds:
        return None
    return FixedFilter(filter_, layer.d_model, delay=layer.delay).train(layer.training)


def _fix_hyperparams(layer: nn.Module) -> None:
    """Replace learned hyperparameters by constants. Integer ones mix operators, and are frozen instead."""
    for module in list(layer.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, BoundedHyperparam) and not child.integer:
                setattr(module, name, FixedHyperparam(child.value))

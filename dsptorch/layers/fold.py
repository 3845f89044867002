"""Layers made ready for inference: constants for hyperparameters, one filter for several."""

import copy
from functools import reduce, singledispatch

import torch
from torch import nn

from dsptorch.functional.periodic_fir import PeriodicFIR
from dsptorch.hyperparams import BoundedHyperparam
from dsptorch.layers.base import FilterLayer, Layer
from dsptorch.layers.blend import Blend
from dsptorch.layers.channel_bottleneck import ChannelBottleneck
from dsptorch.layers.combinators import Chain, Parallel
from dsptorch.layers.fir import Delay
from dsptorch.layers.fixed_filter import FixedFilter

__all__ = ["fold_layer"]

_LARGEST = 2**16  # taps of all phases of a channel: a filter with more is kept in its parts


@singledispatch
def fold_layer(layer: Layer, *, keep_states: bool = False) -> Layer:
    """Return a layer for inference that gives the same numbers, to rounding, and shares nothing with this one.

    Hyperparameters are numbers in it, and nothing learns. Register how a layer of your own folds, if there is more
    to gain, with `fold_layer.register(MyLayer)`.

    Args:
        layer: The layer; it stays as it is.
        keep_states: Whether the states of `step` must fit both, so that a stream can go over from one to the other:
            then filters that follow each other stay apart, and every filter folds, also one that is faster in its
            parts on long signals, since on short chunks none is.

    Example:
        >>> from dsptorch import FIR, Chain, Multirate
        >>> fold_layer(Chain(FIR(8, 3), Multirate(8)))
        FixedFilter(8, period=2, taps=13, lookahead=0)
    """
    folded = copy.deepcopy(layer)
    _fix_hyperparams(folded)
    return folded.requires_grad_(False)


@fold_layer.register
def _fold_filter(layer: FilterLayer, *, keep_states: bool = False) -> Layer:
    with torch.no_grad():
        filter_ = layer.filter()
    support = layer.plan.support
    small = support.period * len(support.lags) <= _LARGEST
    if small and (layer.plan.folds or keep_states) and not isinstance(layer, Delay):
        return FixedFilter(filter_, layer.d_model, delay=layer.delay).train(layer.training)
    folded = copy.deepcopy(layer)
    _fix_hyperparams(folded)
    return folded.requires_grad_(False)


@fold_layer.register
def _fold_chain(layer: Chain, *, keep_states: bool = False) -> Layer:
    members = [fold_layer(member, keep_states=keep_states) for member in layer.members]
    if not keep_states:
        members = _merged(members)
    return (members[0] if len(members) == 1 else Chain(*members)).train(layer.training)


@fold_layer.register
def _fold_parallel(layer: Parallel, *, keep_states: bool = False) -> Layer:
    folded = copy.deepcopy(layer)
    members = [fold_layer(member, keep_states=keep_states) for member in layer.members]
    folded.layers = nn.ModuleList(members)
    filters = [member.filter() for member in members if isinstance(member, FilterLayer)]
    if keep_states or len(filters) < len(members):
        return folded
    return _if_cheaper(reduce(PeriodicFIR.__add__, filters), layer) or folded


@fold_layer.register
def _fold_blend(layer: Blend, *, keep_states: bool = False) -> Layer:
    folded = copy.deepcopy(layer).requires_grad_(False)
    folded.layer = fold_layer(layer.layer, keep_states=keep_states)
    if keep_states or not isinstance(folded.layer, FilterLayer):
        return folded
    gain = layer.gain.detach()
    return _if_cheaper((1 - gain) * PeriodicFIR.identity() + gain * folded.layer.filter(), layer) or folded


@fold_layer.register
def _fold_bottleneck(layer: ChannelBottleneck, *, keep_states: bool = False) -> Layer:
    folded = layer.compact(least=torch.finfo(torch.promote_types(layer.down.weight.dtype, torch.float32)).eps)
    _fix_hyperparams(folded)
    return folded.requires_grad_(False)


def _merged(members: list[Layer]) -> list[Layer]:
    """Fold neighbours into one filter where that is cheaper: only causal ones, whose chain and product are one."""
    done: list[Layer] = []
    run: list[FilterLayer] = []
    for member in [*members, None]:
        if isinstance(member, FilterLayer) and not member.lookahead:
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
    filters = [layer.filter() for layer in run]
    product = PeriodicFIR.compose(*reversed(filters))  # the last is applied first
    support = product.plan.support
    if not product.plan.folds or support.period * len(support.lags) > _LARGEST:
        return list(run)
    return [FixedFilter(product, run[0].d_model, delay=sum(layer.delay for layer in run))]


def _if_cheaper(filter_: PeriodicFIR, layer: Layer) -> FixedFilter | None:
    if not filter_.plan.folds:
        return None
    return FixedFilter(filter_, layer.d_model, delay=layer.delay).train(layer.training)


def _fix_hyperparams(layer: nn.Module) -> None:
    """Put numbers in the place of learned hyperparameters; those of integers mix operators, and are frozen."""
    for module in list(layer.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, BoundedHyperparam) and not child.integer:
                value = child.value
                delattr(module, name)
                if value.numel() == 1:
                    setattr(module, name, value.item())
                else:
                    module.register_buffer(name, value)

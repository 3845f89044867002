"""Layers: thin `nn.Module`s over `dsptorch.functional`, one contract."""

from dsptorch.layers.base import FilterLayer, Layer, PositionState
from dsptorch.layers.blend import Blend
from dsptorch.layers.channel_bottleneck import ChannelBottleneck
from dsptorch.layers.combine import Chain, CombinedState, Parallel, Residual
from dsptorch.layers.context import segmented
from dsptorch.layers.fir import FIR, Delay
from dsptorch.layers.fixed import FixedFilter
from dsptorch.layers.fold import fold_layer
from dsptorch.layers.lfo_routing import LFORouting, LFORoutingState
from dsptorch.layers.multirate import Multirate
from dsptorch.layers.pointwise import Pointwise

__all__ = [
    "FIR",
    "Blend",
    "Chain",
    "ChannelBottleneck",
    "CombinedState",
    "Delay",
    "FilterLayer",
    "FixedFilter",
    "LFORouting",
    "LFORoutingState",
    "Layer",
    "Multirate",
    "Parallel",
    "Pointwise",
    "PositionState",
    "Residual",
    "fold_layer",
    "segmented",
]

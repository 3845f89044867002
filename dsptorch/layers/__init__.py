"""Layers: thin `nn.Module`s over `dsptorch.functional`, one contract."""

from dsptorch.layers.base import FilterLayer, Layer, State
from dsptorch.layers.blend import Blend
from dsptorch.layers.channel_bottleneck import ChannelBottleneck
from dsptorch.layers.combinators import Chain, Parallel, Residual, Split
from dsptorch.layers.context import segmented
from dsptorch.layers.fir import FIR, Delay
from dsptorch.layers.fixed_filter import FixedFilter
from dsptorch.layers.fold import fold_layer
from dsptorch.layers.lfo_routing import LFORouting
from dsptorch.layers.multirate import Multirate
from dsptorch.layers.pointwise import Pointwise

__all__ = [
    "FIR",
    "Blend",
    "Chain",
    "ChannelBottleneck",
    "Delay",
    "FilterLayer",
    "FixedFilter",
    "LFORouting",
    "Layer",
    "Multirate",
    "Parallel",
    "Pointwise",
    "Residual",
    "Split",
    "State",
    "fold_layer",
    "segmented",
]

"""Composable signal-processing layers for the hidden states of any neural network.

Signals are (batch, time, channels), channels last. Time is in samples (tokens), frequency in cycles per
sample unless it is a cutoff (in units of Nyquist), gain linear.
"""

from dsptorch.functional import PeriodicFIR
from dsptorch.hyperparams import BoundedHyperparam, named_hyperparams, param_groups
from dsptorch.layers import (
    EMA,
    FIR,
    LFO,
    SOS,
    AtRate,
    Biquad,
    Blend,
    Chain,
    ChannelBottleneck,
    Decimate,
    Delay,
    EMABank,
    Layer,
    LFOGate,
    LFORouting,
    ModulatedDelay,
    Multirate,
    Parallel,
    Pointwise,
    ResamplePoly,
    Residual,
    Resonator,
    Split,
    Tremolo,
    Upsample,
    segmented,
)
from dsptorch.meta import MetaController
from dsptorch.surgery import bind, find, fold, insert, remove, streaming, unbind

__version__ = "0.1.0"

__all__ = [
    "EMA",
    "FIR",
    "LFO",
    "SOS",
    "AtRate",
    "Biquad",
    "Blend",
    "BoundedHyperparam",
    "Chain",
    "ChannelBottleneck",
    "Decimate",
    "Delay",
    "EMABank",
    "LFOGate",
    "LFORouting",
    "Layer",
    "MetaController",
    "ModulatedDelay",
    "Multirate",
    "Parallel",
    "PeriodicFIR",
    "Pointwise",
    "ResamplePoly",
    "Residual",
    "Resonator",
    "Split",
    "Tremolo",
    "Upsample",
    "bind",
    "find",
    "fold",
    "insert",
    "named_hyperparams",
    "param_groups",
    "remove",
    "segmented",
    "streaming",
    "unbind",
]

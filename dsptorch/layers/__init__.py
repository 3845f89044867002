"""Layers: thin `nn.Module`s over `dsptorch.functional`, all with the contract of `Layer`."""

from dsptorch.layers.at_rate import AtRate
from dsptorch.layers.base import FilterLayer, Layer, State
from dsptorch.layers.biquad import SOS, Biquad
from dsptorch.layers.blend import Blend
from dsptorch.layers.call_context import segmented
from dsptorch.layers.chain import Chain
from dsptorch.layers.channel_bottleneck import ChannelBottleneck
from dsptorch.layers.ema import EMA, EMABank
from dsptorch.layers.filterbank import FilterBank, Synthesis
from dsptorch.layers.fir import FIR, Delay
from dsptorch.layers.fixed_filter import FixedFilter
from dsptorch.layers.fold import fold_layer
from dsptorch.layers.lfo import LFO
from dsptorch.layers.lfo_gate import LFOGate
from dsptorch.layers.lfo_routing import LFORouting
from dsptorch.layers.lifting import InverseLifting, Lifting
from dsptorch.layers.modulated_delay import ModulatedDelay
from dsptorch.layers.multirate import Multirate
from dsptorch.layers.parallel import Parallel, Residual, Split
from dsptorch.layers.pointwise import Pointwise
from dsptorch.layers.resample import Decimate, Upsample
from dsptorch.layers.resample_poly import ResamplePoly
from dsptorch.layers.resonator import Resonator
from dsptorch.layers.subbands import Subbands
from dsptorch.layers.tremolo import Tremolo
from dsptorch.layers.undecimated import UndecimatedBands, UndecimatedBank
from dsptorch.layers.wavelet import Wavelet, WaveletPacket, WaveletSynthesis

__all__ = [
    "EMA",
    "FIR",
    "LFO",
    "SOS",
    "AtRate",
    "Biquad",
    "Blend",
    "Chain",
    "ChannelBottleneck",
    "Decimate",
    "Delay",
    "EMABank",
    "FilterBank",
    "FilterLayer",
    "FixedFilter",
    "InverseLifting",
    "LFOGate",
    "LFORouting",
    "Layer",
    "Lifting",
    "ModulatedDelay",
    "Multirate",
    "Parallel",
    "Pointwise",
    "ResamplePoly",
    "Residual",
    "Resonator",
    "Split",
    "State",
    "Subbands",
    "Synthesis",
    "Tremolo",
    "UndecimatedBands",
    "UndecimatedBank",
    "Upsample",
    "Wavelet",
    "WaveletPacket",
    "WaveletSynthesis",
    "fold_layer",
    "segmented",
]

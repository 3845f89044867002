"""The layers that graphs for any batch and time are made of: every kind, and each way in which a filter may run."""

from collections.abc import Callable

import torch

import dsptorch as d
from dsptorch.layers import FixedFilter
from tests.layers import table
from tests.layers.table import WIDTH, build

OTHERS: dict[str, Callable[[], d.Layer]] = {
    "FixedFilter": lambda: FixedFilter(d.Multirate(WIDTH, 3).filter(), WIDTH),
    "Multirate unfolded": lambda: d.Multirate(WIDTH, levels=3),
    "Multirate learned, long": lambda: d.Multirate(WIDTH, d.BoundedHyperparam(2.3, 1, 8, integer=True)),
}
"""Layers that are not in the table: folded, with true decimation, and with a period of 840."""

EVERY = [*table.EVERY, *OTHERS]

KINDS = [
    "FIR delays",
    "FIR centred",
    "Delay",
    "Multirate",
    "Multirate learned",
    "Multirate centred",
    "LFORouting",
    "LFORouting depthwise",
    "ChannelBottleneck",
    "Pointwise",
    "Chain",
    "Parallel",
    "Residual",
    "Blend",
    "Split",
    "EMA warm",
    "Resonator both",
    "Biquad",
    "SOS",
    "UndecimatedBank",
    "UndecimatedBands",
    "LFOGate",
    "ModulatedDelay",
    "ModulatedDelay allpass",
    "Tremolo square",
    *OTHERS,
]
"""Every layer of rate 1 throughout, but not all that differ in a number alone."""

RATES = [
    "Decimate",
    "Upsample linear",
    "Chain to 2/3",
    "Split of decimators",
    "FilterBank",
    "FilterBank lattice",
    "FilterBank DFT",
    "Synthesis",
    "Lifting",
    "InverseLifting",
    "WaveletSynthesis",
]
"""Layers of another rate, whose length a compiler can prove for any time; not all that differ in their filters alone.

A `Chain` that holds outputs back, as `AtRate` does, needs a graph more for a time that is a multiple of its grid, and
an exporter cannot prove its length; nor can it that of blocks longer than the grid, as `ResamplePoly` and `Wavelet`
make.
"""

WAVELETS = ["Wavelet", "WaveletPacket"]
"""Those that compile once for all lengths, but have no exporter that proves it."""

CORE = [
    "FIR delays",
    "Multirate",
    "Multirate learned",
    "Multirate unfolded",
    "LFORouting depthwise",
    "ChannelBottleneck",
    "Chain",
    "Parallel",
    "EMA first",
    "Resonator",
    "Biquad",
    "ModulatedDelay",
]
"""One for each way in which time reaches a graph: a filter, a phase, a position, neither, two of them, two delays,
the recurrences: of the first order, of coupled states, of the second order; and a delay that moves."""

RECURRENT = ["EMA warm", "Resonator both", "Biquad", "ModulatedDelay allpass"]
"""One for each kind of recurrence, which no ONNX program has for any time: see docs/recurrences.md."""

QUICK = ["Multirate", "LFORouting", "ChannelBottleneck"]
"""What the default suite makes do with."""


def build_any(name: str, dtype: torch.dtype = torch.float64) -> d.Layer:
    if name in table.EVERY:
        return build(name, dtype)
    torch.manual_seed(0)
    return OTHERS[name]().to(dtype)

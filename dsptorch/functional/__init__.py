"""Pure functions and the `PeriodicFIR` value: tensors in, tensors out. Imports torch alone."""

from dsptorch.functional.bounds import from_bounded, to_bounded
from dsptorch.functional.design import firwin, halfband, minimum_phase, unit_dc
from dsptorch.functional.frames import analysis, synthesis
from dsptorch.functional.kernel import lptv_filter
from dsptorch.functional.lfo_routing import grouped_conv, lfo_gate
from dsptorch.functional.multirate import multirate
from dsptorch.functional.oscillator import lfo_phase, saw, sine, square, triangle
from dsptorch.functional.periodic_fir import PeriodicFIR
from dsptorch.functional.resample import resample
from dsptorch.functional.resample_design import (
    decimate_taps,
    linear_phase_delay,
    resample_taps,
    upsample_taps,
)
from dsptorch.functional.response import FrequencyResponse
from dsptorch.functional.soft import hat_weights, width_mask
from dsptorch.functional.state import State
from dsptorch.functional.timeline import Segments, Timeline, find_segments

__all__ = [
    "FrequencyResponse",
    "PeriodicFIR",
    "Segments",
    "State",
    "Timeline",
    "analysis",
    "decimate_taps",
    "find_segments",
    "firwin",
    "from_bounded",
    "grouped_conv",
    "halfband",
    "hat_weights",
    "lfo_gate",
    "lfo_phase",
    "linear_phase_delay",
    "lptv_filter",
    "minimum_phase",
    "multirate",
    "resample",
    "resample_taps",
    "saw",
    "sine",
    "square",
    "synthesis",
    "to_bounded",
    "triangle",
    "unit_dc",
    "upsample_taps",
    "width_mask",
]

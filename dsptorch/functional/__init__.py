"""Pure functions and the `PeriodicFIR` value: tensors in, tensors out. Imports torch alone."""

from dsptorch.functional.biquad import biquad_sos
from dsptorch.functional.bounds import from_bounded, to_bounded
from dsptorch.functional.design import firwin, halfband, minimum_phase, unit_dc
from dsptorch.functional.fractional_delay import allpass_delay, fractional_delay
from dsptorch.functional.kernel import lptv_filter
from dsptorch.functional.lfilter import lfilter, sosfilt
from dsptorch.functional.lfo_routing import grouped_conv, lfo_gate
from dsptorch.functional.multirate import multirate
from dsptorch.functional.oscillator import lfo_phase, saw, sine, square, triangle
from dsptorch.functional.periodic_fir import PeriodicFIR
from dsptorch.functional.recurrence import linear_recurrence
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
from dsptorch.functional.waveform import soft_saw, soft_square

__all__ = [
    "FrequencyResponse",
    "PeriodicFIR",
    "Segments",
    "State",
    "Timeline",
    "allpass_delay",
    "biquad_sos",
    "decimate_taps",
    "find_segments",
    "firwin",
    "fractional_delay",
    "from_bounded",
    "grouped_conv",
    "halfband",
    "hat_weights",
    "lfilter",
    "lfo_gate",
    "lfo_phase",
    "linear_phase_delay",
    "linear_recurrence",
    "lptv_filter",
    "minimum_phase",
    "multirate",
    "resample",
    "resample_taps",
    "saw",
    "sine",
    "soft_saw",
    "soft_square",
    "sosfilt",
    "square",
    "to_bounded",
    "triangle",
    "unit_dc",
    "upsample_taps",
    "width_mask",
]

"""Pure functions and the `PeriodicFIR` value: tensors in, tensors out. This package imports torch only."""

from dsptorch.functional.bank_design import cosine_angles, lowpass_angles
from dsptorch.functional.biquad import biquad_sos
from dsptorch.functional.bounds import from_bounded, to_bounded
from dsptorch.functional.cosine import cosine_bank, cosine_window
from dsptorch.functional.design import firwin, halfband, minimum_phase, unit_dc
from dsptorch.functional.dft import dft_bank, dual_window, tight_window
from dsptorch.functional.dwt import dwt, idwt, wavedec, waverec
from dsptorch.functional.fractional_delay import allpass_delay, fractional_delay
from dsptorch.functional.frames import analysis, synthesis
from dsptorch.functional.kernel import lptv_filter
from dsptorch.functional.lattice import lattice_filters, with_vanishing_moment
from dsptorch.functional.lfilter import lfilter, sosfilt
from dsptorch.functional.lfo_routing import grouped_conv, lfo_gate
from dsptorch.functional.multirate import multirate
from dsptorch.functional.oscillator import lfo_phase, saw, sine, square, triangle
from dsptorch.functional.paraunitary import dct_reflections, paraunitary_bank
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
from dsptorch.functional.swt import iswt, swt
from dsptorch.functional.timeline import Segments, Timeline, find_segments
from dsptorch.functional.undecimated import undecimated
from dsptorch.functional.waveform import soft_saw, soft_square
from dsptorch.functional.wavelets import (
    WaveletFilters,
    lattice_angles,
    wavelet_angles,
    wavelet_filters,
    wavelet_names,
)

__all__ = [
    "FrequencyResponse",
    "PeriodicFIR",
    "Segments",
    "State",
    "Timeline",
    "WaveletFilters",
    "allpass_delay",
    "analysis",
    "biquad_sos",
    "cosine_angles",
    "cosine_bank",
    "cosine_window",
    "dct_reflections",
    "decimate_taps",
    "dft_bank",
    "dual_window",
    "dwt",
    "find_segments",
    "firwin",
    "fractional_delay",
    "from_bounded",
    "grouped_conv",
    "halfband",
    "hat_weights",
    "idwt",
    "iswt",
    "lattice_angles",
    "lattice_filters",
    "lfilter",
    "lfo_gate",
    "lfo_phase",
    "linear_phase_delay",
    "linear_recurrence",
    "lowpass_angles",
    "lptv_filter",
    "minimum_phase",
    "multirate",
    "paraunitary_bank",
    "resample",
    "resample_taps",
    "saw",
    "sine",
    "soft_saw",
    "soft_square",
    "sosfilt",
    "square",
    "swt",
    "synthesis",
    "tight_window",
    "to_bounded",
    "triangle",
    "undecimated",
    "unit_dc",
    "upsample_taps",
    "wavedec",
    "wavelet_angles",
    "wavelet_filters",
    "wavelet_names",
    "waverec",
    "width_mask",
    "with_vanishing_moment",
]

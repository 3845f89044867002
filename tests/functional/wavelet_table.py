"""The rows of the wavelets in the table of public functional operations; PyWavelets is their definition."""

import numpy as np
import pywt
import torch

import dsptorch.functional as f
from tests.functional.table import F64, Operation, designed


def first_tap(angles: tuple[float, ...]) -> torch.Tensor:
    """The last rotation and delays: only products of one path reach the first tap of the low-pass."""
    return torch.tensor(angles, dtype=F64).cos().prod()


WAVELETS: dict[str, Operation] = {
    "WaveletFilters": designed(
        lambda order: torch.tensor(f.WaveletFilters(*f.wavelet_filters(f"db{order}")), dtype=F64),
        lambda order: np.array(pywt.Wavelet(f"db{order}").filter_bank),
    ),
    "lattice_angles": designed(
        lambda order: first_tap(f.lattice_angles(pywt.Wavelet(f"db{order}").dec_lo)),
        lambda order: np.array(pywt.Wavelet(f"db{order}").dec_lo[0]),
    ),
    "wavelet_angles": designed(
        lambda order: first_tap(f.wavelet_angles(f"coif{order}")),
        lambda order: np.array(pywt.Wavelet(f"coif{order}").dec_lo[0]),
    ),
    "wavelet_filters": designed(
        lambda order: torch.tensor(f.wavelet_filters(f"coif{order}"), dtype=F64),
        lambda order: np.array(pywt.Wavelet(f"coif{order}").filter_bank),
    ),
    "wavelet_names": designed(
        lambda order: torch.tensor(float(f.wavelet_names()[order][2:]), dtype=F64),
        lambda order: np.array(float(order)),
    ),
}

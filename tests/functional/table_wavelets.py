"""The rows of the wavelets in the table of public functional operations; PyWavelets is their definition."""

import numpy as np
import pywt
import torch

import dsptorch.functional as f
from tests.functional.operation import F64, Operation, designed, shaped


def first_tap(angles: tuple[float, ...]) -> torch.Tensor:
    """The last rotation and delays: only products of one path reach the first tap of the low-pass."""
    return torch.tensor(angles, dtype=F64).cos().prod()


def forward(transform, **kwargs):
    """A transform of PyWavelets, of a tensor."""
    return lambda x: tuple(transform(x.numpy(), axis=1, **kwargs))


def weighed_bands(x: torch.Tensor, taps: torch.Tensor, gain: torch.Tensor) -> np.ndarray:
    """The definition of the undecimated bank, sample by sample."""
    c, y = x.numpy(), 0
    for level in range(len(taps)):
        lower = np.zeros_like(c)
        for t in range(c.shape[1]):
            for k in range(taps.shape[1]):
                if t >= k << level:
                    lower[:, t] += taps[level, k].numpy() * c[:, t - (k << level)]
        y = y + gain[len(taps) - level].numpy() * (c - lower)
        c = lower
    return y + gain[0].numpy() * c


SIGNAL = shaped((2, 7, 2))
COEFFS = shaped((2, 6, 2), (2, 6, 2), (2, 9, 2))

WAVELETS: dict[str, Operation] = {
    "WaveletFilters": designed(
        lambda order: torch.tensor(f.WaveletFilters(*f.wavelet_filters(f"db{order}")), dtype=F64),
        lambda order: np.array(pywt.Wavelet(f"db{order}").filter_bank),
    ),
    "dwt": Operation(
        lambda x: f.dwt(x, "db2", "reflect"), SIGNAL, forward(pywt.dwt, wavelet="db2", mode="reflect")
    ),
    "idwt": Operation(
        lambda a, d: f.idwt(a, d, "bior2.2", length=7),
        shaped((2, 6, 2), (2, 6, 2)),
        lambda a, d: pywt.idwt(a.numpy(), d.numpy(), "bior2.2", axis=1)[:, :7],
    ),
    "iswt": Operation(
        lambda *coeffs: f.iswt(coeffs, "db2"),
        shaped(*[(2, 8, 2)] * 3),
        lambda *coeffs: pywt.iswt([c.numpy() for c in coeffs], "db2", axis=1),
    ),
    "undecimated": Operation(
        lambda x, taps, gain: f.undecimated(taps, gain)(x),
        shaped((2, 7, 2), (2, 3, 2), (3, 2)),
        weighed_bands,
        compiles=False,  # Dynamo does not trace the building of an expression
    ),
    "swt": Operation(
        lambda x: tuple(f.swt(x, "db2", 2, trim_approx=True)),
        shaped((2, 8, 2)),
        forward(pywt.swt, wavelet="db2", level=2, trim_approx=True),
    ),
    "wavedec": Operation(
        lambda x: tuple(f.wavedec(x, "haar", "zero", 2)),
        SIGNAL,
        forward(pywt.wavedec, wavelet="haar", mode="zero", level=2),
    ),
    "waverec": Operation(
        lambda *coeffs: f.waverec(coeffs, "db2", length=15),
        COEFFS,
        lambda *coeffs: pywt.waverec([c.numpy() for c in coeffs], "db2", axis=1)[:, :15],
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

"""Families of filterbanks by name, including wavelets."""

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

import torch

from dsptorch.functional.bank_design import lowpass_angles
from dsptorch.functional.validate import check_int, describe
from dsptorch.functional.wavelets import wavelet_angles
from dsptorch.hyperparams import real_tensors
from dsptorch.layers.bank_filters import DFT, BankFilters, Cosine, Lattice, Paraunitary

__all__ = ["bank_filters", "wavelet_lattice"]

_LARGEST = 2**25  # total taps of all filters: 4096 bands with an overlap of 1


def bank_filters(
    kind: str,
    num_bands: int,
    overlap: float | None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> BankFilters:
    """Return the filters of a kind; see `FilterBank` for the arguments."""
    if kind not in KINDS:
        return _wavelet(kind, num_bands, overlap, device, dtype)
    check_int("num_bands", num_bands, least=2)
    overlap = 2 if overlap is None else overlap
    if isinstance(overlap, bool) or not isinstance(overlap, (int, float)):
        raise TypeError(f"overlap must be a number, got {describe(overlap)}")
    if not 0.5 <= overlap < 2**16:
        raise ValueError(f"overlap must be at least 0.5, got {overlap}")
    if 2 * overlap * num_bands**2 > _LARGEST:
        raise ValueError(
            f"a bank of {num_bands} bands with an overlap of {overlap:g} has {num_bands} filters of "
            f"{2 * overlap * num_bands:,.0f} taps, more than {_LARGEST:,} taps in all; take fewer bands"
        )
    return KINDS[kind](num_bands, overlap, device, dtype)


def _cosine(num_bands: int, overlap: float, *where: Any) -> Cosine:
    if overlap != int(overlap):
        raise ValueError(
            f"a cosine bank has filters of 2 * overlap * num_bands taps, with a whole overlap, got overlap={overlap}"
        )
    return Cosine(num_bands, int(overlap), *where)


def _paraunitary(num_bands: int, overlap: float, *where: Any) -> Paraunitary:
    if 2 * overlap != int(2 * overlap):
        raise ValueError(
            "a paraunitary bank has filters of 2 * overlap * num_bands taps, with an overlap of whole halves, got "
            f"overlap={overlap}"
        )
    return Paraunitary(num_bands, int(2 * overlap) - 1, *where)


def _lattice(num_bands: int, overlap: float, *where: Any) -> Lattice:
    if num_bands != 2:
        raise ValueError(
            f'a lattice has 2 bands, got num_bands={num_bands}; kind="paraunitary" has any number of them'
        )
    if 2 * overlap != int(2 * overlap):
        raise ValueError(
            f"a lattice has filters of an even number of taps, 4 * overlap, got overlap={overlap}, {4 * overlap:g} taps"
        )
    with real_tensors():
        angles = lowpass_angles(int(2 * overlap))
    return Lattice(angles, False, *where)


def _dft(num_bands: int, overlap: float, *where: Any) -> DFT:
    stride = (num_bands - 1) / overlap
    if stride != int(stride):
        raise ValueError(
            f"a DFT bank of num_bands={num_bands} has windows of {2 * (num_bands - 1)} samples, of which 2 * overlap "
            f"must be a divisor, got overlap={overlap}; give a power of two plus 1 for num_bands"
        )
    return DFT(num_bands, int(stride), *where)


def _wavelet(kind: str, num_bands: int, overlap: float | None, *where: Any) -> Lattice:
    try:
        lattice = wavelet_lattice(kind, *where)
    except ValueError as error:
        near = get_close_matches(kind, KINDS, 1)
        raise ValueError(
            f"kind must be one of {', '.join(KINDS)}, or an orthonormal wavelet, got {kind!r}"
            + (f"; did you mean {near[0]}?" if near else f" ({error})")
        ) from error
    if num_bands != 2 or overlap is not None:
        raise ValueError(
            f"the wavelet {kind} has 2 bands and a length of its own, got num_bands={num_bands} and overlap={overlap}; "
            "give num_bands=2 and no overlap"
        )
    return lattice


def wavelet_lattice(
    wavelet: str, device: torch.device | str | None = None, dtype: torch.dtype | None = None
) -> Lattice:
    """Return the lattice of an orthonormal wavelet, which keeps its vanishing moment while it learns."""
    with real_tensors():
        angles = torch.tensor(wavelet_angles(wavelet)[:-1], dtype=torch.float64)
    return Lattice(angles, True, device, dtype)


KINDS: dict[str, Callable[..., BankFilters]] = {
    "cosine": _cosine,
    "paraunitary": _paraunitary,
    "lattice": _lattice,
    "dft": _dft,
}
"""The families by name."""

"""Families of filterbanks: the filters of one bank as a function of parameters that an optimizer may move anywhere."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor, nn

from dsptorch.functional.bank_design import cosine_angles, lowpass_angles
from dsptorch.functional.cosine import cosine_bank
from dsptorch.functional.dft import dft_bank, tight_window
from dsptorch.functional.lattice import lattice_filters, with_vanishing_moment
from dsptorch.functional.paraunitary import dct_reflections, paraunitary_bank
from dsptorch.functional.validate import check_int, describe
from dsptorch.functional.wavelets import wavelet_angles
from dsptorch.hyperparams import FirstValues, at_least_float32, real_tensors

__all__ = ["BankFilters", "FixedFilters", "bank_filters", "wavelet_lattice"]

_LARGEST = 2**25  # taps of all filters together: 4096 bands with an overlap of 1


class BankFilters(FirstValues, ABC):
    """The filters of analysis h_k of a bank whose filters of synthesis are the same, reversed in time.

    Args:
        num_filters: The number of filters, two for each band of complex outputs.
        numtaps: Taps of each.
        stride: Samples from one frame to the next.
    """

    def __init__(self, num_filters: int, numtaps: int, stride: int) -> None:
        super().__init__()
        self.num_filters, self.numtaps, self.stride = num_filters, numtaps, stride

    @abstractmethod
    def matrix(self) -> Tensor:
        """The present filters, (num_filters, numtaps), float32 at least."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "BankFilters":
        super()._apply(at_least_float32(fn), recurse)  # type: ignore[no-untyped-call]
        return self


class FixedFilters(BankFilters):
    """Filters that do not learn: what others fold into.

    Args:
        matrix: The filters h_k.
        stride: Samples from one frame to the next.

    Attributes:
        taps: The filters: a buffer that stays float32 at least.
    """

    taps: Tensor

    def __init__(self, matrix: Tensor, stride: int) -> None:
        super().__init__(matrix.shape[0], matrix.shape[1], stride)
        self._first = matrix.detach().clone()
        self.register_buffer("taps", self._first)  # no second copy, until the buffer is moved

    def first_values(self) -> dict[str, Tensor]:  # noqa: D102
        return {"taps": self._first}

    def matrix(self) -> Tensor:
        """The filters."""
        return self.taps


class _Learned(BankFilters):
    """Filters of parameters, each of which has a first value."""

    def __init__(
        self,
        num_filters: int,
        numtaps: int,
        stride: int,
        first: dict[str, Tensor],
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> None:
        super().__init__(num_filters, numtaps, stride)
        self._first = first
        dtype = torch.promote_types(torch.get_default_dtype() if dtype is None else dtype, torch.float32)
        self.no_weight_decay = tuple(first)
        for name, value in first.items():
            self.register_parameter(name, nn.Parameter(torch.empty(value.shape, device=device, dtype=dtype)))
        self.set_first_values()

    def first_values(self) -> dict[str, Tensor]:
        return self._first


class Lattice(_Learned):
    """Two bands, by a lattice of rotations; see `lattice_filters`."""

    angles: Tensor

    def __init__(
        self,
        angles: Tensor,
        vanishing_moment: bool,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        numtaps = 2 * (len(angles) + vanishing_moment)
        super().__init__(2, numtaps, 2, {"angles": angles}, device, dtype)
        self.vanishing_moment = vanishing_moment

    def matrix(self) -> Tensor:
        """The present filters."""
        return lattice_filters(with_vanishing_moment(self.angles) if self.vanishing_moment else self.angles)


class Paraunitary(_Learned):
    """M bands, by reflections and factors of degree one; see `paraunitary_bank`."""

    vectors: Tensor
    reflections: Tensor

    def __init__(
        self,
        num_bands: int,
        degree: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        with real_tensors():
            first = {"reflections": dct_reflections(num_bands)}
            if degree:
                unit = torch.eye(num_bands, dtype=torch.float64)
                first["vectors"] = torch.stack([unit[i % num_bands] for i in range(degree)])
        super().__init__(num_bands, num_bands * (degree + 1), num_bands, first, device, dtype)

    def matrix(self) -> Tensor:
        """The present filters."""
        vectors = self.vectors if self.numtaps > self.stride else self.reflections[:0]
        return paraunitary_bank(vectors, self.reflections)


class Cosine(_Learned):
    """M bands, one window modulated by cosines; see `cosine_bank`."""

    angles: Tensor

    def __init__(
        self,
        num_bands: int,
        overlap: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        with real_tensors():
            first = {"angles": cosine_angles(num_bands, overlap)}
        super().__init__(num_bands, 2 * overlap * num_bands, num_bands, first, device, dtype)

    def matrix(self) -> Tensor:
        """The present filters."""
        return cosine_bank(self.angles, self.num_filters)


class DFT(_Learned):
    """Frames of the discrete Fourier transform under a window that is its own dual; see `dft_bank`."""

    window: Tensor

    def __init__(
        self,
        num_bands: int,
        stride: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        numtaps = 2 * (num_bands - 1)
        with real_tensors():
            sine = torch.sin((torch.arange(numtaps, dtype=torch.float64) + 0.5) * torch.pi / numtaps)
        super().__init__(2 * num_bands, numtaps, stride, {"window": sine}, device, dtype)

    def matrix(self) -> Tensor:
        """The present filters."""
        return dft_bank(tight_window(self.window, self.stride))


def bank_filters(
    kind: str,
    num_bands: int,
    overlap: float | None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> BankFilters:
    """The filters of a kind, or raise: see `FilterBank` for the arguments."""
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
    """The lattice of an orthonormal wavelet, which keeps its vanishing moment, or raise."""
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

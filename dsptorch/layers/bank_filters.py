"""Families of filterbanks: the filters of a bank as a function of unconstrained parameters."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from dsptorch.functional.bank_design import cosine_angles
from dsptorch.functional.cosine import cosine_bank
from dsptorch.functional.dft import dft_bank, tight_window
from dsptorch.functional.lattice import lattice_filters, with_vanishing_moment
from dsptorch.functional.memo import Memo
from dsptorch.functional.paraunitary import dct_reflections, paraunitary_bank
from dsptorch.hyperparams import FirstValues, at_least_float32, real_tensors
from dsptorch.layers.calling import is_plain

__all__ = ["DFT", "BankFilters", "Cosine", "FixedFilters", "Lattice", "Paraunitary"]


class BankFilters(FirstValues, ABC):
    """The analysis filters h_k of a bank whose synthesis filters are the same filters reversed in time.

    Calling the module returns the filters, so everything that acts on module calls works: hooks, offloading.

    Args:
        num_filters: The number of filters, two for each band of complex outputs.
        numtaps: Number of taps of each filter.
        stride: Samples from one frame to the next.
    """

    def __init__(self, num_filters: int, numtaps: int, stride: int) -> None:
        super().__init__()
        self.num_filters, self.numtaps, self.stride = num_filters, numtaps, stride

    @abstractmethod
    def forward(self) -> Tensor:
        """Return the current filters, (num_filters, numtaps), float32 at least."""

    def kept_matrix(self, memo: Memo) -> Tensor:
        """Return the current filters, from the memo if they are cached."""
        if not is_plain(self):
            return self._matrix()
        result: Tensor = memo(self._matrix, [*self.parameters(), *self.buffers()])
        return result

    def _matrix(self) -> Tensor:
        result: Tensor = self()
        return result

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "BankFilters":
        super()._apply(at_least_float32(fn), recurse)  # type: ignore[no-untyped-call]
        return self


class FixedFilters(BankFilters):
    """Constant filters, the result of folding a learned bank.

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
        self.register_buffer("taps", self._first)  # shares memory with _first until the buffer is moved

    def first_values(self) -> dict[str, Tensor]:  # noqa: D102
        return {"taps": self._first}

    def forward(self) -> Tensor:
        """The filters."""
        return self.taps


class _Learned(BankFilters):
    """Filters computed from learned parameters, each with an initial value."""

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
    """Two bands from a lattice of rotations; see `lattice_filters`."""

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

    def forward(self) -> Tensor:
        """The present filters."""
        return lattice_filters(with_vanishing_moment(self.angles) if self.vanishing_moment else self.angles)


class Paraunitary(_Learned):
    """M bands from reflections and factors of degree one; see `paraunitary_bank`."""

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

    def forward(self) -> Tensor:
        """The present filters."""
        vectors = self.vectors if self.numtaps > self.stride else self.reflections[:0]
        return paraunitary_bank(vectors, self.reflections)


class Cosine(_Learned):
    """M bands from one window modulated by cosines; see `cosine_bank`."""

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

    def forward(self) -> Tensor:
        """The present filters."""
        return cosine_bank(self.angles, self.num_filters)


class DFT(_Learned):
    """The discrete Fourier transform of frames under a window that is its own dual; see `dft_bank`."""

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

    def forward(self) -> Tensor:
        """The present filters."""
        return dft_bank(tight_window(self.window, self.stride))

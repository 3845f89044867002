"""Filterbanks: analysis into bands at a lower rate, and synthesis."""

from fractions import Fraction

import torch
from torch import Tensor

from dsptorch.functional.filtering import latest, with_history
from dsptorch.functional.frames import analysis, synthesis
from dsptorch.functional.memo import Memo
from dsptorch.functional.timeline import Timeline
from dsptorch.functional.validate import describe
from dsptorch.layers.bank_kinds import bank_filters
from dsptorch.layers.base import Layer, whole

__all__ = ["FilterBank", "Synthesis"]


class FilterBank(Layer):
    """Split each channel into bands with learned filters, which `synthesis()` inverts for any parameter values.

        v_k[n, c] = sum_m  h_k[m] * x[M n - m, c]

    The filters of all kinds are orthonormal by construction (those of "dft" are a tight frame): sum_k |v_k|^2 = |x|^2.
    The same filters reversed in time reconstruct x with a delay of their length minus 1, for any parameter values.

    Args:
        d_model: The width.
        num_bands: The number of bands, at least 2.
        kind: "cosine": num_bands bands of equal width with one learned window (the MDCT with overlap 1, the extended
            lapped transform with overlap 2). "paraunitary": independent filters, which start as the DCT. "lattice": 2
            bands, free. "dft": num_bands complex bands of a windowed DFT, which is redundant. Or the name of an
            orthonormal wavelet such as "db4": 2 bands, learned with the vanishing moment that makes them a wavelet.
        overlap: The filters have 2 * overlap * M taps; None for 2. A whole number for "cosine", a multiple of 1/2 for
            "paraunitary" and "lattice". For "dft" the window has 2 * (num_bands - 1) taps, and
            M = (num_bands - 1) / overlap; for the other kinds M = num_bands. Leave it None for a wavelet, whose length
            is given by its name.
        device: The device of the parameters.
        dtype: The dtype of the parameters, float32 at least.

    Attributes:
        num_bands: The number of bands.
        stride: Samples from one frame to the next, M.
        numtaps: Number of taps of each filter.
        filters: The module with the parameters.

    Shape:
        (batch, time, d_model) -> (batch, ceil(time / M), num_bands * d_model), the channels of a band contiguous:
        ``y.unflatten(-1, (num_bands, d_model))``. "dft" has 2 * num_bands * d_model, the real parts of each band
        before its imaginary parts.

    Raises:
        TypeError, ValueError: If an argument is not as described.

    Example:
        >>> bank = FilterBank(2, num_bands=4)
        >>> bank(torch.randn(1, 16, 2)).shape
        torch.Size([1, 4, 8])
        >>> bank.rate, bank.numtaps
        (Fraction(1, 4), 16)

    References:
        P. P. Vaidyanathan, Multirate Systems and Filter Banks, 1993, chapters 5, 6 and 8 (paraunitary and
        cosine-modulated banks).
    """

    def __init__(
        self,
        d_model: int,
        num_bands: int,
        kind: str = "cosine",
        *,
        overlap: float | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if not isinstance(kind, str):
            raise TypeError(f"kind must be a str, got {describe(kind)}")
        filters = bank_filters(kind, num_bands, overlap, device, dtype)
        super().__init__(d_model, filters.num_filters * d_model)
        self.num_bands, self.kind, self.filters = num_bands, kind, filters
        self.stride, self.numtaps = filters.stride, filters.numtaps
        self.rate, self.grid = Fraction(1, self.stride), self.stride
        self._kept = Memo()

    lookahead = 0

    @property
    def period(self) -> int:
        """Period: the number of samples from one frame to the next."""
        return self.stride

    @property
    def receptive_field(self) -> int:
        """Receptive field: the number of taps."""
        return self.numtaps

    def matrix(self) -> Tensor:
        """The current filters h_k: (num_bands, numtaps), or (2 * num_bands, numtaps) for "dft"; float32 at least."""
        return self.filters.kept_matrix(self._kept)

    def synthesis(self) -> "Synthesis":
        """Return the layer that reconstructs the signal from the bands, with this bank's parameters."""
        return Synthesis(self)

    def process(self, x: Tensor, memory: Tensor | None, timeline: Timeline) -> tuple[Tensor, Tensor]:  # noqa: D102
        kept, segments = self.numtaps - 1, timeline.segments
        seen = with_history(x, memory, kept)
        position = None if segments is None else segments.position
        y = analysis(seen, self.matrix(), self.stride, history=kept, phase=timeline.phase, position=position)
        return y, latest(seen, kept, segments)

    def extra_repr(self) -> str:  # noqa: D102
        return f"{self.d_model}, num_bands={self.num_bands}, kind={self.kind}, numtaps={self.numtaps}"


class Synthesis(Layer):
    """Reconstruct a signal from the bands of a `FilterBank`.

        y[t, c] = sum_k sum_n  h_k[N - 1 - (t - M n)] * v_k[n, c],    y[t] = x[t - (N - 1)] for the bands v of x

    The parameters are shared with the bank. A model that holds the bank and its synthesis as modules has them twice in
    its `state_dict`; a `Subbands` has them once.

    Args:
        bank: The bank.

    Shape:
        (batch, frames, bank.d_out) -> (batch, frames * M, bank.d_model), in the same dtype.

    Example:
        >>> bank = FilterBank(1, num_bands=2, kind="lattice", overlap=0.5)  # the Haar bank
        >>> y = bank.synthesis()(bank(torch.tensor([1.0, 2.0, 3.0, 4.0]).reshape(1, 4, 1)))
        >>> [round(sample, 4) for sample in y.flatten().tolist()]
        [0.0, 1.0, 2.0, 3.0]

    References:
        P. P. Vaidyanathan, Multirate Systems and Filter Banks, 1993, section 6.1 (synthesis of lossless systems).
    """

    def __init__(self, bank: FilterBank) -> None:
        if not isinstance(bank, FilterBank):
            raise TypeError(f"Synthesis takes a FilterBank, got {type(bank).__name__}")
        super().__init__(bank.d_out, bank.d_model)
        self.bank = bank
        self.rate = Fraction(bank.stride)

    lookahead = 0
    period = 1

    @property
    def delay(self) -> int | Fraction:
        """Delay of the output in frames."""
        return whole(Fraction(self.bank.numtaps - 1, self.bank.stride))

    @property
    def receptive_field(self) -> int:
        """Receptive field: the number of frames that one output uses."""
        return -(-self.bank.numtaps // self.bank.stride)

    def process(self, x: Tensor, memory: Tensor | None, timeline: Timeline) -> tuple[Tensor, Tensor]:  # noqa: D102
        kept, segments = self.receptive_field - 1, timeline.segments
        seen = with_history(x, memory, kept)
        position = None if segments is None else segments.position
        y = synthesis(seen, self.bank.matrix().flip(1), self.bank.stride, history=kept, position=position)
        return y, latest(seen, kept, segments)

"""Wavelet transforms and packets as layers, with learned filters that stay a wavelet and reconstruct."""

from abc import abstractmethod
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Literal

import torch
from torch import Tensor

from dsptorch.functional.blocks import from_blocks
from dsptorch.functional.memo import Memo
from dsptorch.functional.timeline import Timeline
from dsptorch.functional.validate import check_int
from dsptorch.functional.wavelet_tree import (
    packet_analysis,
    packet_synthesis,
    wavelet_analysis,
    wavelet_synthesis,
)
from dsptorch.layers.bank_filters import BankFilters
from dsptorch.layers.bank_kinds import wavelet_lattice
from dsptorch.layers.base import Layer, whole

_DEEPEST = 12  # levels: a frame of 4,096 samples


class WaveletTree(Layer):
    """A tree of one two-band bank, whose filters come from a lattice with a vanishing moment."""

    lookahead = 0

    def __init__(
        self,
        d_model: int,
        wavelet: str,
        level: int,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> None:
        if check_int("level", level, least=1) > _DEEPEST:
            raise ValueError(f"level must be at most {_DEEPEST}, got {level}: a frame is 2^level samples")
        super().__init__(d_model, 2**level * check_int("d_model", d_model, least=1))
        self.wavelet, self.level = wavelet, level
        self.filters: BankFilters = wavelet_lattice(wavelet, device, dtype)
        self.rate, self.grid = Fraction(1, 2**level), 2**level
        self._kept = Memo()

    def matrix(self) -> Tensor:
        """The current filters dec_lo and dec_hi: (2, taps). The synthesis filters are the same, reversed."""
        return self.filters.kept_matrix(self._kept)

    @property
    def total_delay(self) -> int:
        """Delay of analysis and synthesis together in input samples: (2^J - 1) (N - 1)."""
        return (self.grid - 1) * (self.filters.numtaps - 1)

    @property
    def period(self) -> int:
        """Period: the number of samples of a frame."""
        return self.grid

    @property
    def receptive_field(self) -> int:
        """Receptive field: that of the filters of all levels."""
        return self.total_delay + 1

    def synthesis(self) -> "WaveletSynthesis":
        """Return the layer that reconstructs the signal from the bands, with these filters."""
        return WaveletSynthesis(self)

    @abstractmethod
    def synthesize(self, y: Tensor, memory: Any, timeline: Timeline) -> tuple[Tensor, Any]:
        """Reconstruct the signal from the next chunk of frames."""

    def extra_repr(self) -> str:  # noqa: D102
        return f"{self.d_model}, wavelet={self.wavelet!r}, level={self.level}"


class Wavelet(WaveletTree):
    """Split each channel into the bands of a discrete wavelet transform, in frames of 2^level samples.

    From cA_0 = x, with the filters dec_lo and dec_hi in PyWavelets' terms:

        cA_j[n] = sum_k  dec_lo[k] * cA_j-1[2n - k],    cD_j[n] = sum_k  dec_hi[k] * cA_j-1[2n - k]
        y = concat(cA_J, cD_J, 2 samples of cD_J-1, ..., 2^(J-1) samples of cD_1)

    The filters come from a lattice of rotations with learned angles. They are orthonormal and have a vanishing moment
    for any angles. `synthesis()` returns the layer that reconstructs the signal exactly. Frame n stands at input 2^J n
    and is available at that time, so the analysis has no delay. (PyWavelets' coefficient n stands at input
    2^J n + 2^J - 1. With a zero before the signal, our frames after frame 0 equal PyWavelets'.)

    Args:
        d_model: The width.
        wavelet: The initial filters, an orthonormal wavelet: "haar", "db1" to "db38", "sym2" to "sym20", "coif1" to
            "coif17".
        level: The number J of levels, 1 to 12.
        device: The device of the angles.
        dtype: Their dtype, float32 at least.

    Attributes:
        filters: The module with the angles of the lattice: one for every two taps, without the last angle, which
            follows from the vanishing moment.

    Shape:
        (batch, time, d_model) -> (batch, ceil(time / 2^level), 2^level * d_model), in the same dtype.

    Raises:
        TypeError, ValueError: If an argument is not as described.

    Example:
        >>> layer = Wavelet(8, "db2", level=3)
        >>> y = layer(torch.randn(2, 80, 8))
        >>> [tuple(c.shape) for c in layer.split(y)]
        [(2, 10, 8), (2, 10, 8), (2, 20, 8), (2, 40, 8)]

    References:
        S. Mallat, A Wavelet Tour of Signal Processing, 3rd ed., 2009, sec. 7.3 (the fast transform).
        P. P. Vaidyanathan and P.-Q. Hoang, Lattice Structures for Optimal Design and Robust Implementation of
        Two-Channel Perfect-Reconstruction QMF Banks, IEEE Trans. ASSP 36(1), 1988, pp. 81-94.
    """

    def __init__(
        self,
        d_model: int,
        wavelet: str = "db2",
        level: int = 1,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(d_model, wavelet, level, device, dtype)

    def process(self, x: Tensor, memory: Any, timeline: Timeline) -> tuple[Tensor, Any]:  # noqa: D102
        return wavelet_analysis(x, self.matrix(), self.level, memory, timeline)

    def synthesize(self, y: Tensor, memory: Any, timeline: Timeline) -> tuple[Tensor, Any]:
        """Reconstruct the signal from the next chunk of frames."""
        return wavelet_synthesis(y, self.matrix(), self.level, memory, timeline)

    def split(self, y: Tensor) -> list[Tensor]:
        """Split frames into coefficients, in PyWavelets' order: [cA_J, cD_J, ..., cD_1].

        Shape:
            (batch, frames, 2^J * d_model) -> (batch, frames * 2^(J - j), d_model) each, of band j.
        """
        parts = y.split([self.d_model, *(self.d_model * 2**j for j in range(self.level))], -1)
        return [parts[0], *(from_blocks(part, 2**j) for j, part in enumerate(parts[1:]))]

    def join(self, coeffs: Sequence[Tensor]) -> Tensor:
        """Join coefficients into frames: the inverse of `split`."""
        frames = coeffs[0].shape[1]
        return torch.cat([c.reshape(c.shape[0], frames, -1) for c in coeffs], -1)


class WaveletPacket(WaveletTree):
    """Split each channel into the 2^level bands of its wavelet packets: every level splits every band again.

        y = concat(bands),    each band: v[n] = sum_k  h[k] * u[2n - k] at each level, h one of dec_lo, dec_hi

    Filters, frames, delays and `synthesis()` are the same as in `Wavelet`.

    Args:
        d_model: The width.
        wavelet: See `Wavelet`.
        level: The number of levels, 1 to 12.
        order: The order of the bands in PyWavelets' terms: "natural" (aa, ad, da, dd), or "freq", in increasing
            frequency (aa, ad, dd, da).
        device: The device of the angles.
        dtype: Their dtype, float32 at least.

    Attributes:
        filters: See `Wavelet`.

    Shape:
        (batch, time, d_model) -> (batch, ceil(time / 2^level), 2^level * d_model), in the same dtype: band by band.

    Raises:
        TypeError, ValueError: If an argument is not as described.

    Example:
        >>> layer = WaveletPacket(8, "haar", level=2)
        >>> bands = layer.split(layer(torch.ones(1, 40, 8)))
        >>> [round(band[0, -1, 0].item(), 4) for band in bands]
        [2.0, 0.0, 0.0, 0.0]

    References:
        R. R. Coifman and M. V. Wickerhauser, Entropy-Based Algorithms for Best Basis Selection, IEEE Trans. Information
        Theory 38(2), 1992, pp. 713-718.
    """

    def __init__(
        self,
        d_model: int,
        wavelet: str = "db2",
        level: int = 2,
        *,
        order: Literal["natural", "freq"] = "natural",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(d_model, wavelet, level, device, dtype)
        if order not in ("natural", "freq"):
            raise ValueError(f"order must be 'natural' or 'freq', got {order!r}")
        self.order = order
        # The index in natural order of the band of a given frequency: the high-pass reverses the frequencies.
        self._places = [k ^ (k >> 1) if order == "freq" else k for k in range(2**level)]

    def process(self, x: Tensor, memory: Any, timeline: Timeline) -> tuple[Tensor, Any]:  # noqa: D102
        y, memory = packet_analysis(x, self.matrix(), self.level, memory, timeline)
        bands = self.split(y)
        return torch.cat([bands[place] for place in self._places], -1), memory

    def synthesize(self, y: Tensor, memory: Any, timeline: Timeline) -> tuple[Tensor, Any]:
        """Reconstruct the signal from the next chunk of frames."""
        bands = self.split(y)
        natural = [bands[self._places.index(k)] for k in range(len(bands))]
        return packet_synthesis(torch.cat(natural, -1), self.matrix(), self.level, memory, timeline)

    def split(self, y: Tensor) -> list[Tensor]:
        """Split frames into bands, (batch, frames, d_model) each."""
        return list(y.split(self.d_model, -1))

    def extra_repr(self) -> str:  # noqa: D102
        return f"{super().extra_repr()}, order={self.order!r}"


class WaveletSynthesis(Layer):
    """Reconstruct a signal from the frames of a `Wavelet` or a `WaveletPacket`. The two layers share their filters.

        y[t] = x[t - (2^J - 1) (N - 1)],    for J levels and filters of N taps

    Args:
        wavelet: The `Wavelet` or `WaveletPacket`.

    Shape:
        (batch, frames, 2^J * d) -> (batch, frames * 2^J, d), in the same dtype, with d the width of that layer.

    Raises:
        TypeError: If the argument is not a `Wavelet` or a `WaveletPacket`.

    Example:
        >>> from dsptorch import Chain
        >>> wavelet = Wavelet(1, "db4", level=3)
        >>> layer = Chain(wavelet, WaveletSynthesis(wavelet))
        >>> layer.delay
        49
        >>> x = torch.randn(1, 100, 1)
        >>> torch.allclose(layer(x)[:, 49:], x[:, :-49], atol=1e-5)
        True

    References:
        See `Wavelet`.
    """

    lookahead = 0
    period = 1

    def __init__(self, wavelet: WaveletTree) -> None:
        if not isinstance(wavelet, WaveletTree):
            raise TypeError(
                f"WaveletSynthesis takes a Wavelet or a WaveletPacket, got {type(wavelet).__name__}"
            )
        super().__init__(wavelet.d_out, wavelet.d_model)
        self.wavelet = wavelet
        self.rate = Fraction(wavelet.grid)

    @property
    def delay(self) -> int | Fraction:
        """Delay in frames: that of analysis and synthesis together, because the analysis has none."""
        return whole(Fraction(self.wavelet.total_delay, self.wavelet.grid))

    @property
    def receptive_field(self) -> int:
        """Receptive field: the number of frames that the filters extend over."""
        return self.wavelet.total_delay // self.wavelet.grid + 1

    def process(self, x: Tensor, memory: Any, timeline: Timeline) -> tuple[Tensor, Any]:  # noqa: D102
        return self.wavelet.synthesize(x, memory, timeline)

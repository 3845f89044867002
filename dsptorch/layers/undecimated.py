"""The undecimated filterbank (a trous): bands at the full rate, without delay, which add up to the signal."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dsptorch.functional.fold import Weight
from dsptorch.functional.timeline import Timeline
from dsptorch.functional.undecimated import (
    binomial_taps,
    undecimated_bands,
    undecimated_plan,
    undecimated_weights,
)
from dsptorch.functional.validate import check_int
from dsptorch.layers.base import FilterLayer, Layer

_LONGEST = 2**16  # the longest receptive field in samples


class UndecimatedBank(FilterLayer):
    """Apply a gain to each band of an undecimated filterbank and add the bands; initially the identity.

    From c_0 = x, with taps 2^(j-1) samples apart in level j:

        c_j[t] = sum_k  weight[j - 1, k] * c_j-1[t - 2^(j-1) k],    d_j = c_j-1 - c_j
        y = gain[0] * c_J + gain[1] * d_J + ... + gain[J] * d_1

    For any filters, x = c_J + d_J + ... + d_1 without delay, so gains of 1 give the identity. The layer is one filter
    of period 1, and runs and folds as one. `UndecimatedBands` returns the bands themselves.

    Args:
        d_model: The width.
        levels: The number J of levels, at least 1; there are J + 1 bands.
        kernel_size: Number of taps of each low-pass, at least 2.
        device: The device of the parameters.
        dtype: The dtype of the parameters.

    Attributes:
        weight: The low-pass of each level, (levels, kernel_size, d_model): initially binomial, such as (1, 1) / 2 or
            (1, 2, 1) / 4, with unit gain at DC.
        gain: The gain of each band, lowest band first, (levels + 1, d_model): initially 1.

    Shape:
        (batch, time, d_model) -> the same shape and dtype.

    Raises:
        TypeError, ValueError: If an argument is not as described, or the receptive field would exceed 65,536 samples.

    Example:
        >>> layer = UndecimatedBank(8, levels=3)
        >>> layer.delay, layer.period, layer.receptive_field
        (0, 1, 8)
        >>> x = torch.randn(2, 10, 8)
        >>> torch.equal(layer(x), x)
        True

    References:
        Holschneider, Kronland-Martinet, Morlet and Tchamitchian, "A real-time algorithm for signal analysis with the
        help of the wavelet transform", in "Wavelets", 1989, pages 286-297.
        Renaud, Starck and Murtagh, "Wavelet-based combined signal filtering and prediction", IEEE Trans. Systems, Man
        and Cybernetics B 35(6), 2005, pages 1241-1251 (the causal bank).
    """

    no_weight_decay = ("weight", "gain")

    def __init__(
        self,
        d_model: int,
        levels: int = 4,
        kernel_size: int = 2,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        shape = _checked(d_model, levels, kernel_size)
        super().__init__(d_model, undecimated_plan(levels, kernel_size, d_model, d_model))
        self.levels, self.kernel_size = levels, kernel_size
        self.weight = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
        self.gain = nn.Parameter(torch.empty(levels + 1, d_model, device=device, dtype=dtype))
        self.set_first_values()

    def first_values(self) -> dict[str, Tensor]:  # noqa: D102
        return {"weight": binomial_taps(self.kernel_size).unsqueeze(-1), "gain": torch.ones(())}

    def weights(self) -> Sequence[Weight]:  # noqa: D102
        return undecimated_weights(self.weight, self.gain)

    def extra_repr(self) -> str:  # noqa: D102
        return f"{self.d_model}, levels={self.levels}, kernel_size={self.kernel_size}"


class UndecimatedBands(Layer):
    """Split each channel into the bands of an undecimated filterbank, which add up to the channel.

        c_j[t] = sum_k  weight[j - 1, k] * c_j-1[t - 2^(j-1) k],    d_j = c_j-1 - c_j,    c_0 = x
        y = concat(c_J, d_J, ..., d_1),    x = c_J + d_J + ... + d_1

    For any filters, the sum is exact within rounding and has no delay.

    Args:
        d_model: The width of the input.
        levels: The number J of levels, at least 1; there are J + 1 bands.
        kernel_size: Number of taps of each low-pass, at least 2.
        device: The device of the parameter.
        dtype: The dtype of the parameter.

    Attributes:
        weight: See `UndecimatedBank`.

    Shape:
        (batch, time, d_model) -> (batch, time, (levels + 1) * d_model), in the same dtype: band by band, the lowest
        band first.

    Raises:
        TypeError, ValueError: See `UndecimatedBank`.

    Example:
        >>> layer, x = UndecimatedBands(8, levels=3), torch.randn(2, 10, 8)
        >>> bands = layer.split(layer(x))
        >>> len(bands), torch.allclose(sum(bands), x, atol=1e-6)
        (4, True)
    """

    no_weight_decay = ("weight",)
    lookahead = 0
    period = 1

    def __init__(
        self,
        d_model: int,
        levels: int = 4,
        kernel_size: int = 2,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        shape = _checked(d_model, levels, kernel_size)
        super().__init__(d_model, (levels + 1) * d_model)
        self.levels, self.kernel_size = levels, kernel_size
        self.weight = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
        self.set_first_values()

    def first_values(self) -> dict[str, Tensor]:  # noqa: D102
        return {"weight": binomial_taps(self.kernel_size).unsqueeze(-1)}

    @property
    def receptive_field(self) -> int:
        """Receptive field: that of all low-passes in series."""
        return _reach(self.levels, self.kernel_size)

    def process(  # noqa: D102
        self, x: Tensor, memory: tuple[Tensor, ...] | None, timeline: Timeline
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        bands, memories = undecimated_bands(x, self.weight, memory, timeline.segments)
        return torch.cat(bands, -1), memories

    def split(self, y: Tensor) -> list[Tensor]:
        """Split an output into the bands [c_J, d_J, ..., d_1], each (batch, time, d_model)."""
        return list(y.split(self.d_model, -1))

    def extra_repr(self) -> str:  # noqa: D102
        return f"{self.d_model}, levels={self.levels}, kernel_size={self.kernel_size}"


def _reach(levels: int, kernel_size: int) -> int:
    return int(2**levels - 1) * (kernel_size - 1) + 1


def _checked(d_model: int, levels: int, kernel_size: int) -> tuple[int, int, int]:
    """Check the arguments, and return the shape of the taps."""
    check_int("d_model", d_model, least=1)
    check_int("levels", levels, least=1)
    check_int("kernel_size", kernel_size, least=2)
    if _reach(levels, kernel_size) > _LONGEST:
        raise ValueError(
            f"the bank must reach over {_LONGEST:,} samples at most, got levels={levels} and kernel_size="
            f"{kernel_size}, which reach over {_reach(levels, kernel_size):,}; take fewer levels"
        )
    return levels, kernel_size, d_model

"""The undecimated filterbank (a trous): bands at the full rate that add up to the signal, for any filters."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from dsptorch.functional.filtering import latest, with_history
from dsptorch.functional.fold import Weight
from dsptorch.functional.kernel import lptv_filter
from dsptorch.functional.periodic_fir import PeriodicFIR
from dsptorch.functional.plan import IDENTITY, Literal, Plan, Scaled, Slot
from dsptorch.functional.support import Support
from dsptorch.functional.timeline import Segments
from dsptorch.functional.validate import describe

__all__ = ["binomial_taps", "undecimated", "undecimated_bands", "undecimated_plan", "undecimated_weights"]


def undecimated(taps: Tensor, gain: Tensor) -> PeriodicFIR:
    """Return the filter that applies a gain to each band of an undecimated bank.

    With c_0 = x, and taps 2^(j-1) samples apart in level j::

        c_j[t] = sum_k  taps[j - 1, k] * c_j-1[t - 2^(j-1) k],    d_j = c_j-1 - c_j
        y = gain[0] * c_J + gain[1] * d_J + ... + gain[J] * d_1

    Since x = c_J + d_J + ... + d_1, gains of 1 give the identity for any taps.

    Args:
        taps: The low-pass of each level.
        gain: The gain of each band, the lowest band first.

    Shape:
        taps: (levels, kernel_size, channels or 1). gain: (levels + 1, channels or 1).

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> bank = undecimated(torch.full((2, 2, 1), 0.5), torch.tensor([[1.0], [0.0], [0.0]]))
        >>> bank
        PeriodicFIR(period=1, taps=4, lookahead=0, receptive_field=4)
        >>> bank(torch.tensor([4.0, 0, 0, 0, 0]).reshape(1, 5, 1)).flatten()
        tensor([1., 1., 1., 1., 0.])

    References:
        Holschneider, Kronland-Martinet, Morlet and Tchamitchian, "A real-time algorithm for signal analysis with the
        help of the wavelet transform", in "Wavelets", 1989, pages 286-297.
        Shensa, "The discrete wavelet transform: wedding the a trous and Mallat algorithms", IEEE Trans. Signal
        Processing 40(10), 1992, pages 2464-2482.
    """
    if taps.ndim != 3 or 0 in taps.shape or gain.ndim != 2 or len(gain) != len(taps) + 1:
        raise ValueError(
            "taps must be of shape (levels, kernel_size, channels) and gain of shape (levels + 1, channels), got "
            f"{describe(taps)} and {describe(gain)}"
        )
    levels, kernel_size, channels = taps.shape
    plan = undecimated_plan(levels, kernel_size, channels, gain.shape[1])
    return PeriodicFIR(plan, undecimated_weights(taps, gain))


def undecimated_plan(levels: int, kernel_size: int, channels: int, gains: int) -> Plan:
    """The structure of `undecimated`, with the slots of `undecimated_weights`.

    The bands are differences, so each c_j occurs once, with the difference of two gains. With the low-pass L_j of level
    j, c_j = L_j c_j-1, and b_j = gain of d_j+1 (of c_J for j = J) - gain of d_j::

        y = b_0 x + (b_1 + (b_2 + ...) L_2) L_1 x
    """
    support = Support.full(1, tuple(range(kernel_size)))

    def weighed(level: int) -> Plan:
        return Scaled(IDENTITY, 1.0, Slot(levels + level), gains)

    plan = weighed(levels)
    for level in reversed(range(levels)):
        plan = weighed(level) + plan @ Literal(Slot(level), support, channels).at_rate(2**level)
    return plan


def undecimated_weights(taps: Tensor, gain: Tensor) -> tuple[Weight, ...]:
    """The weights of `undecimated_plan`, in the order of its slots."""
    rising = gain.flip(0)  # the gain of d_1 first
    return *taps.unsqueeze(1).unbind(), rising[0], *rising.diff(dim=0).unbind()


def undecimated_bands(
    x: Tensor, taps: Tensor, memory: Sequence[Tensor] | None = None, segments: Segments | None = None
) -> tuple[list[Tensor], tuple[Tensor, ...]]:
    """Split the next chunk of a signal into the bands of an undecimated bank.

    Args:
        x: The chunk.
        taps: As for `undecimated`.
        memory: The memory returned by the previous call, or None at rest.
        segments: Segments of rows that hold several signals.

    Returns:
        The bands [c_J, d_J, ..., d_1], and the memory for the next call: the end of each c_j.

    Shape:
        (batch, time, channels) -> each of the same shape and dtype.
    """
    details, memories = [], []
    for level, own in enumerate(taps):
        spacing = 2**level
        kept = spacing * (len(own) - 1)
        seen = with_history(x, None if memory is None else memory[level], kept)
        lags = tuple(range(0, kept + 1, spacing))
        low = lptv_filter(seen, own.unsqueeze(0), lags, history=kept, segments=segments)
        details.append(x - low)
        memories.append(latest(seen, kept, segments))
        x = low
    return [x, *reversed(details)], tuple(memories)


def binomial_taps(kernel_size: int) -> Tensor:
    """The low-pass binom(K - 1, k) / 2^(K - 1), whose scaling function is a B-spline: float64, (kernel_size,)."""
    taps = [math.comb(kernel_size - 1, k) / 2 ** (kernel_size - 1) for k in range(kernel_size)]
    return torch.tensor(taps, dtype=torch.float64)

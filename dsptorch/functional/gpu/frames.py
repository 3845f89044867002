"""The operators of filters between two rates on a GPU: `dsptorch::rate_filter` and `dsptorch::rate_correlation`.

They are the partial derivatives of the form S(x, h, v) of `dsptorch.functional.polyphase`, for signals as they are: not
in blocks, not padded, and with any number of samples.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from dsptorch.functional.gpu.choice import check_times, device_of, launches, uses_kernels
from dsptorch.functional.gpu.rate_windows import (
    correlate_rate_windows,
    filter_rate_windows,
    takes_rate_windows,
)
from dsptorch.functional.operators import operator
from dsptorch.functional.powers import power_of_two
from dsptorch.functional.trilinear import V, W, accumulation_dtype

__all__ = ["RateForm", "rate_correlation", "rate_filter", "takes_rates"]

_MOST_TAPS = 2**14  # of all filters; a larger bank is a product of matrices, which cuBLAS does best
_LARGEST = 2048  # elements of a tile


def takes_rates(seen: Tensor, taps: Tensor, up: int, down: int) -> bool:
    """Whether the kernels filter a signal; their times are 32-bit numbers."""
    return (
        uses_kernels(seen, taps)
        and taps.shape[0] <= _MOST_TAPS
        and (torch.compiler.is_compiling() or seen.shape[1] * max(up, down) < 2**30)
    )


class RateForm(NamedTuple):
    """The trilinear form of filters between two rates.

    Attributes:
        up: L outputs per M inputs.
        down: M.
        numtaps: Taps of a filter; tap i connects input j with output n if i = n M - j L.
        first: The number n of the first output.
        shift: The number j of the first sample of the signal; negative, where that stands before n = 0.
        outputs: How many outputs there are.
        inputs: How many inputs there are.
        sharing: How many neighbouring channels share their taps.
    """

    up: int
    down: int
    numtaps: int
    first: int
    shift: int
    outputs: int
    inputs: int
    sharing: int

    def compute(
        self, slot: int, first: Tensor, second: Tensor, position: Tensor | None, following: Tensor | None
    ) -> Tensor:
        """The derivative of S in the argument `slot`, given the other two.

        Shape:
            x: (batch, inputs, fan_in, channels). h: (fan_in, fan_out, numtaps, channels / sharing).
            v: (batch, outputs, fan_out, channels).
        """
        numbers = [self.up, self.down, self.first, self.shift]
        found: Tensor
        if slot == W:
            sharing = self.sharing if self.sharing == first.shape[3] else 1
            found = rate_correlation(first, second, position, numbers, self.numtaps, sharing > 1)
            if sharing < self.sharing:  # in a vmap
                found = found.unflatten(3, (-1, self.sharing)).sum(4)
            return found
        signal, taps = (first, second) if slot == V else (second, first)
        if 1 < taps.shape[3] < signal.shape[3]:
            taps = taps.repeat_interleave(self.sharing, 3)
        length = self.outputs if slot == V else self.inputs
        found = rate_filter(signal, taps, position, numbers, length, slot != V)
        return found


def _shape_of_rate_filter(
    signal: Tensor, taps: Tensor, position: Tensor | None, numbers: list[int], length: int, adjoint: bool
) -> Tensor:
    return signal.new_empty(signal.shape[0], length, taps.shape[0 if adjoint else 1], signal.shape[3])


@operator("rate_filter", _shape_of_rate_filter)
def rate_filter(
    signal: Tensor, taps: Tensor, position: Tensor | None, numbers: list[int], length: int, adjoint: bool
) -> Tensor:
    """Outputs from inputs, or, adjoint, inputs from outputs; `numbers` are up, down, first, shift of `RateForm`."""
    from dsptorch.functional.gpu.kernels import sum_type  # noqa: PLC0415
    from dsptorch.functional.gpu.kernels.frames import rate_kernel  # noqa: PLC0415

    (batch, reach, summed, channels), (up, down, first, shift) = signal.shape, numbers
    kept, numtaps = taps.shape[0 if adjoint else 1], taps.shape[2]
    check_times(max(reach, length) * max(up, down))
    out = signal.new_empty(batch, length, kept, channels)
    if out.numel() == 0:
        return out
    if position is None and takes_rate_windows(taps, up, down, channels):
        return filter_rate_windows(signal, taps, numbers, out, adjoint)
    block_c, block_o = min(power_of_two(channels), 64), min(power_of_two(kept), 16)
    block_n = min(power_of_two(length), max(_LARGEST // (block_c * block_o), 1), 256)
    tiles = -(-length // block_n), -(-kept // block_o), -(-channels // block_c)
    strides = taps.stride()
    with device_of(signal):
        rate_kernel[(tiles[0] * tiles[1] * tiles[2] * batch,)](
            signal,
            taps,
            None if position is None else position.contiguous(),
            out,
            length,
            reach,
            first,
            shift,
            up,
            down,
            numtaps,
            -(-numtaps // (down if adjoint else up)),
            kept,
            summed,
            channels,
            0 if position is None else position.shape[1],
            *tiles,
            *signal.stride(),
            *((strides[0], strides[1]) if adjoint else (strides[1], strides[0])),
            strides[2],
            strides[3] if taps.shape[3] > 1 else 0,
            ADJOINT=adjoint,
            SEGMENTS=position is not None,
            SUM=sum_type(accumulation_dtype(signal, taps)),
            BLOCK_N=block_n,
            BLOCK_O=block_o,
            BLOCK_C=block_c,
        )
    return out


def _shape_of_rate_correlation(
    signal: Tensor,
    gradient: Tensor,
    position: Tensor | None,
    numbers: list[int],
    numtaps: int,
    shared: bool,
) -> Tensor:
    width = 1 if shared else signal.shape[3]
    dtype = accumulation_dtype(signal, gradient)
    return signal.new_empty(signal.shape[2], gradient.shape[2], numtaps, width, dtype=dtype)


@operator("rate_correlation", _shape_of_rate_correlation)
def rate_correlation(
    signal: Tensor,
    gradient: Tensor,
    position: Tensor | None,
    numbers: list[int],
    numtaps: int,
    shared: bool,
) -> Tensor:
    """The derivative in the taps, (fan_in, fan_out, numtaps, channels or 1); float32 at least."""
    from dsptorch.functional.gpu.kernels import sum_type  # noqa: PLC0415
    from dsptorch.functional.gpu.kernels.frames import taps_kernel  # noqa: PLC0415

    (batch, reach, fan_in, channels), (length, fan_out) = signal.shape, gradient.shape[1:3]
    up, down, first, shift = numbers
    dtype = accumulation_dtype(signal, gradient)
    check_times(max(reach, length) * max(up, down))
    if gradient.numel() == 0 or signal.numel() == 0:
        return signal.new_zeros(fan_in, fan_out, numtaps, 1 if shared else channels, dtype=dtype)
    if position is None and takes_rate_windows((fan_in, fan_out, numtaps, 1), up, down, channels):
        return correlate_rate_windows(signal, gradient, numbers, numtaps, shared)
    block_c, block_i = min(power_of_two(channels), 32), min(power_of_two(numtaps), 16)
    block_n = max(_LARGEST // (block_c * block_i), 1)
    time_tiles, tap_tiles = -(-(first + length) // (up * block_n)), -(-numtaps // block_i)
    channel_tiles = -(-channels // block_c)
    programs = channel_tiles * tap_tiles * fan_in * fan_out
    splits = launches(batch * time_tiles, programs)
    width = channel_tiles if shared else channels
    out = signal.new_empty(splits, fan_in, fan_out, numtaps, width, dtype=dtype)
    with device_of(signal):
        taps_kernel[(programs * splits,)](
            signal,
            gradient,
            None if position is None else position.contiguous(),
            out,
            length,
            reach,
            first,
            shift,
            up,
            down,
            pow(down, -1, up) if up > 1 else 0,
            numtaps,
            fan_in,
            fan_out,
            channels,
            0 if position is None else position.shape[1],
            batch,
            time_tiles,
            -(-batch * time_tiles // splits),
            splits,
            tap_tiles,
            channel_tiles,
            *signal.stride(),
            *gradient.stride(),
            SEGMENTS=position is not None,
            SHARED=shared,
            SUM=sum_type(dtype),
            BLOCK_N=block_n,
            BLOCK_I=block_i,
            BLOCK_C=block_c,
        )
    return out.sum((0, 4)).unsqueeze(3) if shared else out.sum(0)

"""Filters between two rates of which one is 1 on a GPU: how their work is cut into runs of time.

`dsptorch.functional.gpu.frames` calls these functions for signals that are not packed, where a thread can hold what a
filter needs in registers.
"""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from torch import Tensor

from dsptorch.functional.gpu import runs
from dsptorch.functional.gpu.choice import device_of, launches
from dsptorch.functional.trilinear import accumulation_dtype

__all__ = ["correlate_rate_windows", "filter_rate_windows", "takes_rate_windows"]

_NUMBERS = 170  # in registers, at most: the taps or their sums, the window, and a block
_PAIRS = 128  # at most, where a thread has two channels
_LOADS = 64  # of a block and its window, at most: Triton's time to compile grows by their square
_PRODUCTS = 512  # of a block, at most, likewise


class _Shape(NamedTuple):
    """A filter between the rates 1 and `factor`; a fine sample is `fine` numbers, and a coarse one `coarse`."""

    factor: int
    taps: int
    fine: int
    coarse: int

    @property
    def block(self) -> int:
        """The coarse samples that are on their way from memory."""
        return max(1, runs.BLOCK // self.factor)

    @property
    def window(self) -> int:
        """The samples of the fine signal that meet a coarse one, and those up to the next."""
        return max(self.taps, self.factor)

    @property
    def loads(self) -> int:
        """The numbers of a block and its window."""
        return self.fine * (self.window + self.block * self.factor) + self.coarse * self.block

    @property
    def weights(self) -> int:
        """The taps of all filters."""
        return self.fine * self.coarse * self.taps

    def cut(self, coarse: int, channels: int, shared: bool) -> runs.Runs:
        """Cut a coarse signal; whether a thread holds one set of taps for its channels."""
        pairs = 2 * self.loads + self.weights * (1 if shared else 2) <= _PAIRS
        found = runs.cut(coarse, channels, self.block, 2 if pairs else 1)
        found.options.update(FACTOR=self.factor, TAPS=self.taps)
        return found


def _shape(taps: Tensor | Sequence[int], up: int, down: int) -> _Shape:
    fan_in, fan_out, numtaps, _ = taps.shape if isinstance(taps, Tensor) else taps
    fans = (fan_in, fan_out) if up == 1 else (fan_out, fan_in)
    return _Shape(max(up, down), numtaps, *fans)


def takes_rate_windows(taps: Tensor | Sequence[int], up: int, down: int, channels: int) -> bool:
    """Whether these kernels take filters of a shape (fan_in, fan_out, numtaps, ...) between two rates."""
    shape = _shape(taps, up, down)
    few = shape.loads <= _LOADS and shape.block * shape.weights <= _PRODUCTS
    fits = few and shape.loads + shape.weights <= _NUMBERS
    return min(up, down) == 1 and channels >= runs.FEWEST and fits


@cache
def _taps_of_places(shape: _Shape, coarser: bool, adjoint: bool) -> tuple[tuple[int, ...], ...]:
    """For each output up to the next coarse sample, the tap that meets each sample of its window; -1 for none."""
    last, factor = shape.taps - 1, shape.factor
    if coarser:
        places = [[k if adjoint else last - k for k in range(shape.window)]]
    elif adjoint:
        places = [[factor * k - p for k in range((last + factor - 1) // factor + 1)] for p in range(factor)]
    else:
        places = [[p + factor * k for k in range(last // factor, -1, -1)] for p in range(factor)]
    return tuple(tuple(i if 0 <= i <= last else -1 for i in row) for row in places)


def filter_rate_windows(
    signal: Tensor, taps: Tensor, numbers: Sequence[int], out: Tensor, adjoint: bool
) -> Tensor:
    """The filter or its adjoint into `out`, as of `rate_filter`: (batch, length, kept, channels), not empty."""
    from dsptorch.functional.gpu.kernels import sum_type  # noqa: PLC0415
    from dsptorch.functional.gpu.kernels.rate_windows import rate_window_kernel  # noqa: PLC0415

    (batch, length, kept, channels), (up, down, first, shift) = out.shape, numbers
    shape, coarser = _shape(taps, up, down), (up == 1) != adjoint
    last, skipped, coarse = shape.taps - 1, 0, length
    if coarser:
        oldest = shift * up - first if adjoint else first * down - shift - last
    else:
        begin, skipped = divmod(shift if adjoint else first, shape.factor)
        coarse = -(-(length + skipped) // shape.factor)
        oldest = begin - (first if adjoint else shift + last // shape.factor)
    places, shared = _taps_of_places(shape, coarser, adjoint), taps.shape[3] == 1
    cut = shape.cut(coarse, channels, shared)
    strides = taps.stride()
    with device_of(signal):
        rate_window_kernel[(cut.channel_tiles * cut.run_tiles * batch,)](
            signal,
            taps,
            out,
            length,
            signal.shape[1],
            oldest,
            skipped,
            cut.blocks,
            cut.run_tiles,
            channels,
            cut.channel_tiles,
            *signal.stride(),
            *((strides[0], strides[1]) if adjoint else (strides[1], strides[0])),
            strides[2],
            strides[3],
            TABLE=sum(places, ()),
            COARSER=coarser,
            SHARED=shared,
            SUM=sum_type(accumulation_dtype(signal, taps)),
            KEPT=kept,
            SUMMED=signal.shape[2],
            WINDOW=len(places[0]),
            **cut.options,
        )
    return out


def correlate_rate_windows(
    signal: Tensor, gradient: Tensor, numbers: Sequence[int], numtaps: int, shared: bool
) -> Tensor:
    """The derivative in the taps, as of `rate_correlation`: (fan_in, fan_out, numtaps, channels or 1)."""
    from dsptorch.functional.gpu.kernels import sum_type  # noqa: PLC0415
    from dsptorch.functional.gpu.kernels.rate_windows import rate_window_taps_kernel  # noqa: PLC0415

    (batch, _, fan_in, channels), fan_out, (up, down, first, shift) = signal.shape, gradient.shape[2], numbers
    shape, coarser = _shape((fan_in, fan_out, numtaps, 1), up, down), up == 1
    fine, coarse = (signal, gradient) if coarser else (gradient, signal)
    cut = shape.cut(coarse.shape[1], channels, shared=False)
    units = batch * cut.run_tiles
    splits = launches(units, cut.channel_tiles)
    dtype = accumulation_dtype(signal, gradient)
    width = cut.channel_tiles if shared else channels
    out = signal.new_empty(splits, fan_in, fan_out, numtaps, width, dtype=dtype)
    with device_of(signal):
        rate_window_taps_kernel[(cut.channel_tiles * splits,)](
            fine,
            coarse,
            out,
            coarse.shape[1],
            fine.shape[1],
            first * down - shift - (numtaps - 1) if coarser else shift * up - first,
            cut.blocks,
            cut.run_tiles,
            units,
            -(-units // splits),
            channels,
            cut.channel_tiles,
            *fine.stride(),
            *coarse.stride(),
            out.stride(1 if coarser else 2),
            out.stride(2 if coarser else 1),
            out.stride(3),
            COARSER=coarser,
            SHARED=shared,
            SUM=sum_type(dtype),
            FINE=shape.fine,
            COARSE=shape.coarse,
            WINDOW=shape.window,
            **cut.options,
        )
    return out.sum((0, 4)).unsqueeze(3) if shared else out.sum(0)

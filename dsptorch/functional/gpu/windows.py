"""The periodic filter of neighbouring lags on a GPU: how its work is cut into runs of time.

`dsptorch.functional.gpu.periodic` calls these functions for signals that are not packed, where a thread can hold what
a filter needs in registers.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from dsptorch.functional.gpu import runs
from dsptorch.functional.gpu.choice import device_of, launches
from dsptorch.functional.trilinear import accumulation_dtype

__all__ = ["correlate_windows", "filter_windows", "takes_windows"]

_TAPS = 40  # of a phase, at most: Triton's time to compile grows by their square
_NUMBERS = 168  # in registers, at most: the taps or their sums, the window, and a block
_PAIRS = 64  # at most, where a thread has two channels


def takes_windows(lags: Sequence[int], period: int, channels: int) -> bool:
    """Whether these kernels take a filter: its lags are neighbours, in their order, and few; its channels are many."""
    taps = len(lags)
    fits = channels >= runs.FEWEST and taps <= _TAPS and _numbers(taps, period) <= _NUMBERS
    return fits and list(lags) == list(range(lags[0], lags[0] + taps))


def _numbers(taps: int, period: int) -> int:
    return (period + 1) * taps + _block(period)


def _block(period: int) -> int:
    return -(-runs.BLOCK // period) * period


def _cut(time: int, channels: int, period: int, taps: int) -> runs.Runs:
    found = runs.cut(time, channels, _block(period), 2 if _numbers(taps, period) <= _PAIRS else 1)
    found.options.update(PERIOD=period, TAPS=taps)
    return found


def filter_windows(
    signal: Tensor, weight: Tensor, lags: Sequence[int], history: int, out: Tensor, adjoint: bool
) -> Tensor:
    """The filter or its adjoint into `out`, as of `periodic_filter`: (batch, length, channels), not empty."""
    from dsptorch.functional.gpu.kernels import sum_type  # noqa: PLC0415
    from dsptorch.functional.gpu.kernels.windows import window_filter_kernel  # noqa: PLC0415

    (batch, length, channels), period = out.shape, weight.shape[1]
    oldest = lags[0] - history if adjoint else history - lags[-1]
    cut = _cut(length, channels, period, len(lags))
    with device_of(signal):
        window_filter_kernel[(cut.channel_tiles * cut.run_tiles * batch,)](
            signal,
            weight,
            out,
            length,
            signal.shape[1],
            oldest,
            oldest % period,
            cut.blocks,
            cut.run_tiles,
            channels,
            cut.channel_tiles,
            *signal.stride(),
            weight.stride(0) if weight.shape[0] > 1 else 0,
            *weight.stride()[1:],
            ADJOINT=adjoint,
            SUM=sum_type(accumulation_dtype(signal, weight)),
            **cut.options,
        )
    return out


def correlate_windows(
    signal: Tensor,
    gradient: Tensor,
    lags: Sequence[int],
    history: int,
    period: int,
    groups: int,
    dtype: torch.dtype,
) -> Tensor:
    """The derivative in the taps, as of `periodic_correlation`, in a dtype: (groups, P, len(lags), channels)."""
    from dsptorch.functional.gpu.kernels import sum_type  # noqa: PLC0415
    from dsptorch.functional.gpu.kernels.windows import window_correlation_kernel  # noqa: PLC0415

    (batch, length, channels), taps = gradient.shape, len(lags)
    cut = _cut(length, channels, period, taps)
    units = batch // groups * cut.run_tiles
    splits = launches(units, cut.channel_tiles * groups)
    share = -(-units // splits)
    out = gradient.new_empty(groups, splits, period, taps, channels, dtype=dtype)
    with device_of(signal):
        window_correlation_kernel[(cut.channel_tiles * splits * groups,)](
            signal,
            gradient,
            out,
            length,
            signal.shape[1],
            history - lags[-1],
            cut.blocks,
            cut.run_tiles,
            units,
            share,
            splits,
            channels,
            cut.channel_tiles,
            *signal.stride(),
            *gradient.stride(),
            SUM=sum_type(dtype),
            **cut.options,
        )
    return out.sum(1) if splits > 1 else out.squeeze(1)

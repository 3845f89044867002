"""The periodic filter of neighbouring lags on a GPU: how its work is cut into runs of time.

`dsptorch.functional.gpu.periodic` calls these functions for signals that are not packed, where a thread can hold what
a filter needs in registers.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from dsptorch.functional.gpu.choice import device_of, launches
from dsptorch.functional.powers import power_of_two

__all__ = ["correlate_windows", "filter_windows", "takes_windows"]

FEWEST = 8  # channels; the threads of a warp that have none go through another run each, far from each other in memory
CHANNELS = 64  # of a tile
THREADS = 128  # of a program
BLOCK = 8  # samples, at least, that are on their way from memory
BLOCKS = 8  # of a run
_TAPS = 40  # of a phase, at most: Triton's time to compile grows by their square
_NUMBERS = 168  # in registers, at most: the taps or their sums, the window, and a block
_PAIRS = 64  # at most, where a thread has two channels


def takes_windows(lags: Sequence[int], period: int, channels: int) -> bool:
    """Whether these kernels take a filter: its lags are neighbours, in their order, and few; its channels are many."""
    taps = len(lags)
    fits = channels >= FEWEST and taps <= _TAPS and _numbers(taps, period) <= _NUMBERS
    return fits and list(lags) == list(range(lags[0], lags[0] + taps))


def _numbers(taps: int, period: int) -> int:
    return (period + 1) * taps + _block(period)


def _block(period: int) -> int:
    return -(-BLOCK // period) * period


class _Runs(NamedTuple):
    """How a signal is cut: a run is `blocks` blocks of BLOCK_T samples, and a tile BLOCK_R runs by BLOCK_C channels."""

    blocks: int
    run_tiles: int
    channel_tiles: int
    options: dict[str, int]


def _cut(time: int, channels: int, period: int, taps: int) -> _Runs:
    block_t, block_c = _block(period), min(power_of_two(channels), CHANNELS)
    each = 2 if _numbers(taps, period) <= _PAIRS else 1  # channels of a thread
    blocks = min(BLOCKS, -(-time // block_t))
    runs = -(-time // (blocks * block_t))
    block_r = min(power_of_two(runs), max(THREADS * each // block_c, 1))
    options = {
        "PERIOD": period,
        "TAPS": taps,
        "BLOCK_T": block_t,
        "BLOCK_R": block_r,
        "BLOCK_C": block_c,
        "num_warps": max(1, block_r * block_c // (32 * each)),
    }
    return _Runs(blocks, -(-runs // block_r), -(-channels // block_c), options)


def filter_windows(
    signal: Tensor, weight: Tensor, lags: Sequence[int], history: int, out: Tensor, adjoint: bool
) -> Tensor:
    """The filter or its adjoint into `out`, as of `periodic_filter`: (batch, length, channels), not empty."""
    from dsptorch.functional.gpu.kernels import sum_type  # noqa: PLC0415
    from dsptorch.functional.gpu.kernels.windows import window_filter_kernel  # noqa: PLC0415

    (batch, length, channels), period = out.shape, weight.shape[1]
    oldest = lags[0] - history if adjoint else history - lags[-1]
    runs = _cut(length, channels, period, len(lags))
    with device_of(signal):
        window_filter_kernel[(runs.channel_tiles * runs.run_tiles * batch,)](
            signal,
            weight,
            out,
            length,
            signal.shape[1],
            oldest,
            oldest % period,
            runs.blocks,
            runs.run_tiles,
            channels,
            runs.channel_tiles,
            *signal.stride(),
            weight.stride(0) if weight.shape[0] > 1 else 0,
            *weight.stride()[1:],
            ADJOINT=adjoint,
            SUM=sum_type(torch.promote_types(signal.dtype, weight.dtype)),
            **runs.options,
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
    runs = _cut(length, channels, period, taps)
    units = batch // groups * runs.run_tiles
    splits = launches(units, runs.channel_tiles * groups)
    share = -(-units // splits)
    out = gradient.new_empty(groups, splits, period, taps, channels, dtype=dtype)
    with device_of(signal):
        window_correlation_kernel[(runs.channel_tiles * splits * groups,)](
            signal,
            gradient,
            out,
            length,
            signal.shape[1],
            history - lags[-1],
            runs.blocks,
            runs.run_tiles,
            units,
            share,
            splits,
            channels,
            runs.channel_tiles,
            *signal.stride(),
            *gradient.stride(),
            SUM=sum_type(dtype),
            **runs.options,
        )
    return out.sum(1) if splits > 1 else out.squeeze(1)

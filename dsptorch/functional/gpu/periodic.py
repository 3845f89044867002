"""The operators of the periodic filter on a GPU: `dsptorch::periodic_filter` and `dsptorch::periodic_correlation`.

They are the three partial derivatives of the form in `dsptorch.functional.kernel`, one launch each (the correlation
adds up its parts in a second one, in a fixed order). That form differentiates them, to any order, and batches them; the
operators themselves record nothing.
"""

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from dsptorch.functional.gpu.choice import check_times, device_of, launches
from dsptorch.functional.gpu.windows import correlate_windows, filter_windows, takes_windows
from dsptorch.functional.operators import operator
from dsptorch.functional.powers import power_of_two
from dsptorch.functional.trilinear import accumulation_dtype

__all__ = ["periodic_correlation", "periodic_filter"]

_LARGEST = 2048  # elements of a tile
_PHASES = 8  # that one program takes, so that their inputs stay in the cache


def _shape_of_periodic_filter(
    signal: Tensor,
    weight: Tensor,
    lags: Sequence[int],
    history: int,
    length: int,
    position: Tensor | None,
    following: Tensor | None,
    adjoint: bool,
) -> Tensor:
    return signal.new_empty(signal.shape[0], length, signal.shape[2])


@operator("periodic_filter", _shape_of_periodic_filter)
def periodic_filter(
    signal: Tensor,
    weight: Tensor,
    lags: Sequence[int],
    history: int,
    length: int,
    position: Tensor | None,
    following: Tensor | None,
    adjoint: bool,
) -> Tensor:
    """The filter, or its adjoint, as of `lptv_filter`: `length` samples, in the dtype of the signal.

    Shape:
        signal: (batch, reach, channels). weight: (batch or 1, P, len(lags), channels). position, following:
        (batch, time), time being the length, or, adjoint, the reach. Result: (batch, length, channels).
    """
    from dsptorch.functional.gpu.kernels import sum_type  # noqa: PLC0415
    from dsptorch.functional.gpu.kernels.periodic import filter_kernel  # noqa: PLC0415

    (batch, reach, channels), period = signal.shape, weight.shape[1]
    check_times(reach, length)
    out = signal.new_empty(batch, length, channels)
    if out.numel() == 0:
        return out
    if position is None and takes_windows(lags, period, channels):
        return filter_windows(signal, weight, lags, history, out, adjoint)
    masks = [None if mask is None else mask.contiguous() for mask in (position, following)]
    segmented = position is not None
    step = 1 if segmented else period
    block_c, block_n = _tile(channels, -(-length // step))
    phases = min(step, _PHASES)
    time_tiles, channel_tiles = -(-length // (step * block_n)), -(-channels // block_c)
    with device_of(signal):
        filter_kernel[(channel_tiles * -(-step // phases) * time_tiles * batch,)](
            signal,
            weight,
            _table(tuple(lags), history, period, signal.device),
            *masks,
            out,
            length,
            reach,
            history,
            period,
            phases,
            channels,
            len(lags),
            time_tiles,
            channel_tiles,
            *signal.stride(),
            weight.stride(0) if weight.shape[0] > 1 else 0,
            *weight.stride()[1:],
            ADJOINT=adjoint,
            SEGMENTS=segmented,
            SUM=sum_type(accumulation_dtype(signal, weight)),
            BLOCK_N=block_n,
            BLOCK_C=block_c,
        )
    return out


def _shape_of_periodic_correlation(
    signal: Tensor,
    gradient: Tensor,
    lags: Sequence[int],
    history: int,
    period: int,
    per_row: bool,
    position: Tensor | None,
    following: Tensor | None,
) -> Tensor:
    groups = gradient.shape[0] if per_row else 1
    dtype = accumulation_dtype(signal, gradient)
    return gradient.new_empty(groups, period, len(lags), gradient.shape[2], dtype=dtype)


@operator("periodic_correlation", _shape_of_periodic_correlation)
def periodic_correlation(
    signal: Tensor,
    gradient: Tensor,
    lags: Sequence[int],
    history: int,
    period: int,
    per_row: bool,
    position: Tensor | None,
    following: Tensor | None,
) -> Tensor:
    """The derivative in the taps, summed over rows and time, or over time alone; float32 at least.

    Shape:
        signal: (batch, reach, channels). gradient: (batch, time, channels). position, following: (batch, time).
        Result: (batch if per_row else 1, P, len(lags), channels).
    """
    from dsptorch.functional.gpu.kernels import sum_type  # noqa: PLC0415
    from dsptorch.functional.gpu.kernels.periodic import correlation_kernel  # noqa: PLC0415

    (batch, time, channels), reach = gradient.shape, signal.shape[1]
    groups, taps = batch if per_row else 1, len(lags)
    check_times(reach, time)
    dtype = accumulation_dtype(signal, gradient)
    if gradient.numel() == 0:
        return gradient.new_zeros(groups, period, taps, channels, dtype=dtype)
    if position is None and takes_windows(lags, period, channels):
        return correlate_windows(signal, gradient, lags, history, period, groups, dtype)
    masks = [None if mask is None else mask.contiguous() for mask in (position, following)]
    segmented = position is not None
    step = 1 if segmented else period
    block_i = min(power_of_two(taps), 16)
    block_c = min(power_of_two(channels), 32)
    block_n = min(power_of_two(-(-time // step)), max(4096 // (block_i * block_c), 1), 128)
    time_tiles, channel_tiles, lag_tiles = (
        -(-time // (step * block_n)),
        -(-channels // block_c),
        -(-taps // block_i),
    )
    rows = batch // groups
    splits = launches(rows * time_tiles, channel_tiles * lag_tiles * period * groups)
    share = -(-rows * time_tiles // splits)
    out = gradient.new_empty(groups, splits, period, taps, channels, dtype=dtype)
    with device_of(signal):
        correlation_kernel[(channel_tiles * lag_tiles * period * splits * groups,)](
            signal,
            gradient,
            _table(tuple(lags), history, period, signal.device),
            *masks,
            out,
            time,
            reach,
            history,
            period,
            channels,
            taps,
            rows,
            time_tiles,
            share,
            channel_tiles,
            lag_tiles,
            splits,
            *signal.stride(),
            *gradient.stride(),
            SEGMENTS=segmented,
            SUM=sum_type(dtype),
            BLOCK_N=block_n,
            BLOCK_I=block_i,
            BLOCK_C=block_c,
        )
    return out.sum(1) if splits > 1 else out.squeeze(1)


def _tile(channels: int, blocks: int) -> tuple[int, int]:
    """Channels and periods of a tile: whole vectors of channels first."""
    block_c = min(power_of_two(channels), 64)
    return block_c, min(power_of_two(blocks), _LARGEST // block_c, 1024)


@cache  # a CUDA graph keeps no table alive, but reads it at every replay
def _table(lags: tuple[int, ...], history: int, period: int, device: torch.device) -> Tensor:
    """The lags, and by how many phases the tap of each is further on in the adjoint."""
    with torch.inference_mode(False):
        return torch.tensor(
            [*lags, *((lag - history) % period for lag in lags)], dtype=torch.int32, device=device
        )

"""The polyphase form by products of matrices, for filters of many phases.

A few neighbouring outputs of a block meet one window of inputs. Between them stands a matrix that holds the taps, and
zeros where an output and an input of the window are not connected. The fewer the outputs, the fewer the zeros.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from dsptorch.functional.polyphase_grid import BlockGrid

__all__ = ["matrix_correlation", "matrix_filter"]

_FEWEST_ROWS, _MOST_ROWS = 16, 48


def matrix_filter(x: Tensor, taps: Tensor, grid: BlockGrid, *, adjoint: bool) -> Tensor:
    """The filter, or its adjoint, of blocks behind (adjoint: between) those that they reach.

    Shape:
        x: (batch, blocks + lags - 1, inputs * fan_in, channels). taps: (grid.total, channels).
        Result: (batch, blocks, outputs * fan_out, channels); inputs and outputs exchanged if adjoint.
    """
    windows, numbers = _windows(x, grid, adjoint)
    channels, batch, blocks = windows[0].shape[:3]
    weight = F.pad(taps, (0, 0, 0, 1))[numbers].permute(0, 3, 2, 1)  # (groups, channels, width, rows)
    with _without_autocast(x):
        rows = [
            torch.bmm(_merged(window), matrix)
            for window, matrix in zip(windows, weight.unbind(0), strict=True)
        ]
    y = torch.cat(rows, 2).view(channels, batch, blocks, numbers.shape[0] * numbers.shape[1])
    # Forward-mode AD takes no view for an output.
    return y.permute(1, 2, 3, 0).clone(memory_format=torch.contiguous_format)


def _without_autocast(x: Tensor) -> torch.autocast:
    """Products in the dtype of x, on the meta device too, which has no autocast of its own."""
    return torch.autocast("cpu" if x.device.type == "meta" else x.device.type, enabled=False)


def matrix_correlation(x: Tensor, v: Tensor, grid: BlockGrid) -> Tensor:
    """The derivative in the taps: for each tap, the sum over the pairs of samples that it connects.

    Shape:
        x: (batch, blocks + lags - 1, inputs * fan_in, channels). v: (batch, blocks, outputs * fan_out, channels).
        Result: (grid.total, channels).
    """
    windows, numbers = _windows(x, grid, adjoint=False)
    channels = x.shape[3]
    outputs = v.permute(3, 2, 0, 1).reshape(channels, v.shape[2], v.shape[0] * v.shape[1])
    with _without_autocast(x):
        products = [
            torch.bmm(rows, _merged(window)).permute(1, 2, 0).reshape(-1, channels)
            for rows, window in zip(outputs.chunk(len(windows), 1), windows, strict=True)
        ]
    total = x.new_zeros(grid.total + 1, channels).index_add(0, numbers.view(-1), torch.cat(products))
    return total[: grid.total].clone()


def _windows(x: Tensor, grid: BlockGrid, adjoint: bool) -> tuple[list[Tensor], Tensor]:
    """What each group of rows meets, and the number of the tap between each row and each sample.

    Shape:
        Each window: (channels, batch, blocks, width). Numbers: (groups, rows, width), `grid.total` for no tap.
    """
    up, down, last = grid.up, grid.down, grid.numtaps - 1
    if adjoint:  # a row is an input m, and meets the outputs n with 0 <= n * down - (m - offset) * up <= last
        height, size, start, fan = grid.inputs, grid.outputs, 0, grid.fan_out
        times = [(m - grid.offset) * up for m in range(height)]
        reach = [(-(-time // down), (time + last) // down) for time in times]
    else:
        height, size, start, fan = grid.outputs, grid.inputs, (grid.lags - 1) * grid.inputs, grid.fan_in
        times = [n * down for n in range(height)]
        reach = [(-((last - time) // up) + grid.offset, time // up + grid.offset) for time in times]
    rows = _rows(height) if grid.fan_in == grid.fan_out == 1 else height
    groups = [reach[row : row + rows] for row in range(0, height, rows)]
    width = min(max(1, *(group[-1][1] - group[0][0] + 1 for group in groups)), grid.lags * size)
    first = [min(max(start + group[0][0], 0), grid.lags * size - width) for group in groups]
    flat, blocks = x.reshape(x.shape[0], x.shape[1] * x.shape[2], x.shape[3]), x.shape[1] - (grid.lags - 1)
    span = (blocks - 1) * size + width
    windows = [
        flat.narrow(1, place * fan, span * fan).unfold(1, width * fan, size * fan).permute(2, 0, 1, 3)
        for place in first
    ]
    met = torch.tensor(first, device=x.device)[:, None, None] - start + torch.arange(width, device=x.device)
    row = torch.arange(height, device=x.device).view(len(groups), rows, 1)
    tap = met * down - (row - grid.offset) * up if adjoint else row * down - (met - grid.offset) * up
    return windows, _numbers(tap, grid, adjoint)


def _numbers(tap: Tensor, grid: BlockGrid, adjoint: bool) -> Tensor:
    """The number of each tap among those of all filters: (groups, rows, width) of times -> of numbers."""
    i = torch.arange(grid.fan_in, device=tap.device)
    o = torch.arange(grid.fan_out, device=tap.device)
    filters = i * grid.fan_out + o.unsqueeze(1)  # (fan_out, fan_in)
    filters = (filters.T if adjoint else filters)[:, None, :]
    found = torch.where((tap >= 0) & (tap < grid.numtaps), tap, grid.total)[:, :, None, :, None]
    numbers = (found + filters * grid.numtaps).clamp(max=grid.total)
    return numbers.flatten(3).flatten(1, 2)


def _merged(window: Tensor) -> Tensor:
    channels, batch, blocks, width = window.shape
    return window.reshape(channels, batch * blocks, width)


def _rows(height: int) -> int:
    """A divisor of the height: few rows, to multiply few zeros, but not so few that a product is not worth its call."""
    divisors = [n for n in range(_FEWEST_ROWS, _MOST_ROWS + 1) if height % n == 0]
    return max(divisors, default=height)

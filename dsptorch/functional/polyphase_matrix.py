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
        x: (batch, blocks + lags - 1, inputs, channels). taps: (numtaps, channels).
        Result: (batch, blocks, outputs, channels); inputs and outputs exchanged if adjoint.
    """
    windows, numbers = _windows(x, grid, adjoint)
    channels, batch, blocks = windows[0].shape[:3]
    weight = F.pad(taps, (0, 0, 0, 1))[numbers].permute(0, 3, 2, 1)  # (groups, channels, width, rows)
    with _without_autocast(x):
        rows = [
            torch.bmm(_merged(window), matrix)
            for window, matrix in zip(windows, weight.unbind(0), strict=True)
        ]
    y = torch.cat(rows, 2).view(channels, batch, blocks, grid.inputs if adjoint else grid.outputs)
    # Forward-mode AD takes no view for an output.
    return y.permute(1, 2, 3, 0).clone(memory_format=torch.contiguous_format)


def _without_autocast(x: Tensor) -> torch.autocast:
    """Products in the dtype of x, on the meta device too, which has no autocast of its own."""
    return torch.autocast("cpu" if x.device.type == "meta" else x.device.type, enabled=False)


def matrix_correlation(x: Tensor, v: Tensor, grid: BlockGrid) -> Tensor:
    """The derivative in the taps: for each tap, the sum over the pairs of samples that it connects.

    Shape:
        x: (batch, blocks + lags - 1, inputs, channels). v: (batch, blocks, outputs, channels).
        Result: (numtaps, channels).
    """
    windows, numbers = _windows(x, grid, adjoint=False)
    channels = x.shape[3]
    outputs = v.permute(3, 2, 0, 1).reshape(channels, grid.outputs, v.shape[0] * v.shape[1])
    with _without_autocast(x):
        products = [
            torch.bmm(rows, _merged(window)).permute(1, 2, 0).reshape(-1, channels)
            for rows, window in zip(outputs.chunk(len(windows), 1), windows, strict=True)
        ]
    total = x.new_zeros(grid.numtaps + 1, channels).index_add(0, numbers.view(-1), torch.cat(products))
    return total[: grid.numtaps].clone()


def _windows(x: Tensor, grid: BlockGrid, adjoint: bool) -> tuple[list[Tensor], Tensor]:
    """What each group of rows meets, and the number of the tap between each row and each sample.

    Shape:
        Each window: (channels, batch, blocks, width). Numbers: (groups, rows, width), `numtaps` for no tap.
    """
    up, down, last = grid.up, grid.down, grid.numtaps - 1
    if adjoint:  # a row is an input m, and meets the outputs n with 0 <= n * down - (m - offset) * up <= last
        height, size, start = grid.inputs, grid.outputs, 0
        times = [(m - grid.offset) * up for m in range(height)]
        reach = [(-(-time // down), (time + last) // down) for time in times]
    else:
        height, size, start = grid.outputs, grid.inputs, (grid.lags - 1) * grid.inputs
        times = [n * down for n in range(height)]
        reach = [(-((last - time) // up) + grid.offset, time // up + grid.offset) for time in times]
    rows = _rows(height)
    groups = [reach[row : row + rows] for row in range(0, height, rows)]
    width = min(max(1, *(group[-1][1] - group[0][0] + 1 for group in groups)), grid.lags * size)
    first = [min(max(start + group[0][0], 0), grid.lags * size - width) for group in groups]
    flat, blocks = x.reshape(x.shape[0], x.shape[1] * size, x.shape[3]), x.shape[1] - (grid.lags - 1)
    windows = [
        flat.narrow(1, place, (blocks - 1) * size + width).unfold(1, width, size).permute(2, 0, 1, 3)
        for place in first
    ]
    met = torch.tensor(first, device=x.device)[:, None, None] - start + torch.arange(width, device=x.device)
    row = torch.arange(height, device=x.device).view(len(groups), rows, 1)
    numbers = met * down - (row - grid.offset) * up if adjoint else row * down - (met - grid.offset) * up
    return windows, torch.where((numbers >= 0) & (numbers <= last), numbers, grid.numtaps)


def _merged(window: Tensor) -> Tensor:
    channels, batch, blocks, width = window.shape
    return window.reshape(channels, batch * blocks, width)


def _rows(height: int) -> int:
    """A divisor of the height: few rows, to multiply few zeros, but not so few that a product is not worth its call."""
    divisors = [n for n in range(_FEWEST_ROWS, _MOST_ROWS + 1) if height % n == 0]
    return max(divisors, default=height)

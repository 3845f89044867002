"""The polyphase form by products of matrices, for filters of many phases and for filterbanks.

A few neighbouring outputs of a block use one window of inputs. The matrix between them holds the taps, and zeros where
an output and an input of the window are not connected. Fewer outputs give fewer zeros.

If each channel has its own taps, the windows of a channel are the rows of one product. If many channels share their
taps, the matrix multiplies each window as a view of memory, (width, channels), without a copy.
"""

from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from dsptorch.functional.dynamo import is_exporting
from dsptorch.functional.memo import is_transformed
from dsptorch.functional.polyphase_grid import BlockGrid
from dsptorch.functional.precision import without_autocast

__all__ = ["matrix_correlation", "matrix_filter"]

_FEWEST_ROWS, _MOST_ROWS = 16, 48


def matrix_filter(x: Tensor, taps: Tensor, grid: BlockGrid, *, adjoint: bool) -> Tensor:
    """The filter or its adjoint. The blocks include the neighbouring blocks that the taps reach.

    Shape:
        x: (batch, blocks + lags - 1, inputs * fan_in, channels). taps: (grid.total, channels or 1).
        Result: (batch, blocks, outputs * fan_out, channels); inputs and outputs exchanged if adjoint.
    """
    windows = _windows(grid, adjoint, x.device)
    weight = F.pad(taps, (0, 0, 0, 1))[windows.numbers]  # (groups, rows, width, channels or 1)
    batch, blocks, channels = x.shape[0], x.shape[1] - (grid.lags - 1), x.shape[3]
    with without_autocast(x):
        if weight.shape[3] < channels:
            met = zip(windows.shared(x), weight.squeeze(3).unbind(0), strict=True)
            rows = [torch.bmm(matrix.expand(window.shape[0], -1, -1), window) for window, matrix in met]
            y = F.pad(_joined(rows, 1), (0, 0, 0, 0, 0, grid.lags - 1))
            y = y.view(batch, blocks + grid.lags - 1, y.shape[1], channels)[:, :blocks]
        else:
            met = zip(windows.by_channel(x), weight.permute(0, 3, 2, 1).unbind(0), strict=True)
            y = _joined([torch.bmm(window, matrix) for window, matrix in met], 2)
            if channels == 1:
                single: Tensor = torch.ops.aten._unsafe_view(y, (batch, blocks, y.shape[2], 1))
                return single
            y = y.view(channels, batch, blocks, y.shape[2]).permute(1, 2, 3, 0)
    # Forward-mode AD does not accept a view as output.
    return y.clone(memory_format=torch.contiguous_format)


def matrix_correlation(x: Tensor, v: Tensor, grid: BlockGrid, sharing: int = 1) -> Tensor:
    """The derivative in the taps: for each tap, the sum of products over the pairs of samples that it connects.

    Args:
        x: The blocks of inputs, preceded by the earlier blocks that the taps reach.
        v: The blocks of outputs.
        grid: The assignment of taps to pairs of input and output.
        sharing: Number of neighbouring channels that share their taps: 1 or all.

    Shape:
        x: (batch, blocks + lags - 1, inputs * fan_in, channels). v: (batch, blocks, outputs * fan_out, channels).
        Result: (grid.total, channels / sharing).
    """
    windows = _windows(grid, False, x.device)
    groups, rows, width = windows.numbers.shape
    with without_autocast(x):
        if sharing > 1:
            outputs = F.pad(v, (0, 0, 0, 0, 0, grid.lags - 1))
            outputs = outputs.reshape(v.shape[0] * outputs.shape[1], v.shape[2], v.shape[3])
            met = zip(windows.shared(x), outputs.chunk(groups, 1), strict=True)
            products = [
                _sum_of_products(out[: window.shape[0]], window.transpose(1, 2)) for window, out in met
            ]
            gradient = torch.stack(products).view(-1, 1)
        else:
            outputs = v.permute(3, 2, 0, 1).reshape(x.shape[3], v.shape[2], v.shape[0] * v.shape[1])
            met = zip(windows.by_channel(x), outputs.chunk(groups, 1), strict=True)
            products = [torch.bmm(out, window) for window, out in met]
            gradient = torch.stack(products).permute(0, 2, 3, 1).reshape(groups * rows * width, x.shape[3])
    total = x.new_zeros(grid.total + 1, gradient.shape[1]).index_add(0, windows.numbers.view(-1), gradient)
    return total[: grid.total].clone()


def _sum_of_products(first: Tensor, second: Tensor) -> Tensor:
    """sum_n first[n] @ second[n], in one product if the products take no more memory than the factors."""
    if first.shape[2] >= second.shape[2]:
        return torch.bmm(first, second).sum(0)
    return torch.addbmm(first.new_zeros(first.shape[1], second.shape[2]), first, second)


class _Windows(NamedTuple):
    """The window of inputs of each group of neighbouring outputs of a block.

    Attributes:
        numbers: The index of the tap between each output and each sample of its window, or `grid.total` for no tap:
            (groups, rows, width).
        first: The start of each group's window, counted from the earliest block.
        step: The distance between the windows of consecutive blocks.
        lags: Number of blocks that a window reaches.
    """

    numbers: Tensor
    first: list[int]
    step: int
    lags: int

    @classmethod
    def of(cls, grid: BlockGrid, adjoint: bool, device: torch.device) -> "_Windows":
        up, down, last = grid.up, grid.down, grid.numtaps - 1
        if (
            adjoint
        ):  # a row is an input m, which reaches the outputs n with 0 <= n * down - (m - offset) * up <= last
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
        met = torch.tensor(first, device=device)[:, None, None] - start + torch.arange(width, device=device)
        row = torch.arange(height, device=device).view(len(groups), rows, 1)
        tap = met * down - (row - grid.offset) * up if adjoint else row * down - (met - grid.offset) * up
        return cls(_numbers(tap, grid, adjoint), [place * fan for place in first], size * fan, grid.lags)

    def by_channel(self, x: Tensor) -> list[Tensor]:
        """The windows of each group, for each channel: (channels, batch * blocks, width)."""
        blocks, width = x.shape[1] - (self.lags - 1), self.numbers.shape[2]
        flat = x.reshape(x.shape[0], x.shape[1] * x.shape[2], x.shape[3])
        span = (blocks - 1) * self.step + width
        views = [flat.narrow(1, place, span).unfold(1, width, self.step) for place in self.first]
        return [view.permute(2, 0, 1, 3).reshape(x.shape[3], x.shape[0] * blocks, width) for view in views]

    def shared(self, x: Tensor) -> list[Tensor]:
        """The windows of each group, (batch * blocks' - (lags - 1), width, channels); some extend into the next row."""
        width, channels, step = self.numbers.shape[2], x.shape[3], self.step
        flat = x.reshape(x.shape[0] * x.shape[1] * x.shape[2], channels)
        count = x.shape[0] * x.shape[1] - (self.lags - 1)
        if torch.compiler.is_compiling() and not is_exporting():
            # Inductor would copy an unfolded tensor; it does not copy this view, of a tensor with storage offset 0.
            whole = F.pad(flat, (0, 0, 0, 1))
            size, strides = (count, width, channels), (step * channels, channels, 1)
            return [whole.as_strided(size, strides, at * channels) for at in self.first]
        span = (count - 1) * step + width
        return [flat.narrow(0, at, span).unfold(0, width, step).transpose(1, 2) for at in self.first]


def _windows(grid: BlockGrid, adjoint: bool, device: torch.device) -> _Windows:
    """The windows of a grid, cached for recent grids."""
    if is_transformed():
        return _Windows.of(grid, adjoint, device)
    return _kept_windows(grid, adjoint, device)


@lru_cache(maxsize=64)
def _kept_windows(grid: BlockGrid, adjoint: bool, device: torch.device) -> _Windows:
    with torch.inference_mode(False):
        return _Windows.of(grid, adjoint, device)


def _numbers(tap: Tensor, grid: BlockGrid, adjoint: bool) -> Tensor:
    """The index of each tap among the taps of all filters: (groups, rows, width) of times -> of indices."""
    i = torch.arange(grid.fan_in, device=tap.device)
    o = torch.arange(grid.fan_out, device=tap.device)
    filters = i * grid.fan_out + o.unsqueeze(1)  # (fan_out, fan_in)
    filters = (filters.T if adjoint else filters)[:, None, :]
    found = torch.where((tap >= 0) & (tap < grid.numtaps), tap, grid.total)[:, :, None, :, None]
    numbers = (found + filters * grid.numtaps).clamp(max=grid.total)
    return numbers.flatten(3).flatten(1, 2)


def _joined(parts: list[Tensor], dim: int) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim)


def _rows(height: int) -> int:
    """A divisor of the height: few rows, so that there are few zeros, but enough to be worth the call of a product."""
    divisors = [n for n in range(_FEWEST_ROWS, _MOST_ROWS + 1) if height % n == 0]
    return max(divisors, default=height)

"""Blocks of inputs and blocks of outputs, and the taps between them."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["BlockGrid", "by_matrix", "in_blocks", "make_grid", "own_samples"]

_MOST_BY_TAP = 128  # above, a product of matrices, zeros among them, is faster than one operation per tap


class BlockGrid(NamedTuple):
    """Which tap connects which input of a block with which output.

    Input m of the block `lag` blocks before that of output p meets tap

        p * down - (m - offset) * up + lag * inputs * up.

    Attributes:
        up: Outputs per `down` inputs, with which it has no common factor.
        down: See `up`.
        numtaps: Number of taps.
        outputs: Outputs in a block, a multiple of `up`; equal to it unless `dense`.
        inputs: Inputs in a block.
        offset: The input of a block that stands at the time of its first output.
        lags: How many blocks of inputs reach one block of outputs.
        dense: Whether to multiply by matrices with zeros (many taps), or tap by tap.
    """

    up: int
    down: int
    numtaps: int
    outputs: int
    inputs: int
    offset: int
    lags: int
    dense: bool

    def links(self) -> list[tuple[int, int, int, int]]:
        """(output, input, lag in blocks, tap) of each tap, where a block has `up` outputs: one link a tap."""
        inverse = pow(self.down, -1, self.up) if self.up > 1 else 0
        links = []
        for tap in range(self.numtaps):
            output = tap * inverse % self.up
            place = (output * self.down - tap) // self.up + self.offset
            links.append((output, place % self.inputs, -(place // self.inputs), tap))
        return links


def by_matrix(numtaps: int, up: int, down: int, channels: int) -> bool:
    """Whether to multiply by matrices: one channel (nothing else is contiguous), or many taps or phases."""
    return channels == 1 or max(numtaps, up, down) > _MOST_BY_TAP


def make_grid(numtaps: int, memory: int, up: int, down: int, channels: int, *, one_period: bool) -> BlockGrid:
    """The blocks for a filter that remembers `memory` inputs: of one period each, if asked for, or of several."""
    dense = by_matrix(numtaps, up, down, channels)
    # Longer blocks than the filter keep most numbers of a matrix no zeros.
    times = max(-(-memory // down), -(-16 // max(up, down)), 1) if dense and not one_period else 1
    size = times * down
    return BlockGrid(up, down, numtaps, times * up, size, 0, 1 - (-memory // size), dense)


def in_blocks(seen: Tensor, history: int, start: int, grid: BlockGrid) -> Tensor:
    """The chunk from the last multiple of M on in blocks of inputs, behind as many blocks as the taps reach."""
    (batch, length, channels), size = seen.shape, grid.inputs
    time = length - history + start
    blocks = (time + size - 1) // size
    if torch.compiler.is_compiling():
        blocks += 1  # or one graph would hold for a single block, and another for several
    padded = F.pad(seen, (0, 0, (grid.lags - 1) * size + start - history, blocks * size - time))
    if size > 1 and torch.compiler.is_exporting():
        # A view is only allowed where it is proved that the blocks divide the time.
        return padded.unfold(1, size, size).transpose(2, 3)
    return padded.view(batch, blocks + grid.lags - 1, size, channels)


def own_samples(x: Tensor, grid: BlockGrid, position: Tensor, start: int) -> tuple[Tensor, BlockGrid]:
    """Give each block all the samples that its outputs meet, zeros for those of another segment than its first."""
    blocks, size = x.shape[1] - (grid.lags - 1), grid.inputs
    since = torch.arange(size, device=x.device)
    # Before the chunk: as though the segment of its first sample had gone on so long.
    before = position[:, :1] - torch.arange(start, 0, -1, device=x.device)
    age = F.pad(torch.cat([before, position], 1), (0, blocks * size - start - position.shape[1]), value=-1)
    age = age.view(x.shape[0], blocks, size)
    first = age[:, :, :1]
    lags = range(grid.lags - 1, 0, -1)
    own = [*(first >= lag * size - since for lag in lags), (age >= 0) & (age - since == first)]
    met = [x.narrow(1, grid.lags - 1 - lag, blocks) for lag in (*lags, 0)]
    # Not a product: what stands in another segment may be infinite.
    zero = torch.zeros((), dtype=x.dtype, device=x.device)
    frames = [torch.where(mask.unsqueeze(-1), part, zero) for mask, part in zip(own, met, strict=True)]
    width = grid.lags * size
    return torch.cat(frames, 2), grid._replace(inputs=width, offset=width - size, lags=1)

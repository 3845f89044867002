"""Blocks of inputs and blocks of outputs, and the taps between them.

A sample of the input is `fan_in` numbers, one of the output `fan_out`: a decimator has one of each, the analysis of a
filterbank makes a number for each band, and the synthesis takes one of each.
"""

from itertools import product
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["BlockGrid", "by_matrix", "in_blocks", "make_grid", "own_samples"]

_MOST_BY_TAP = 128  # above, a product of matrices, zeros among them, is faster than one operation per tap
_MOST_SHARED_BY_TAP = 32  # above, compilation takes long


class BlockGrid(NamedTuple):
    """Which tap connects which input of a block with which output.

    Input m of the block `lag` blocks before that of output p meets tap

        p * down - (m - offset) * up + lag * inputs * up

    of one filter for each pair of a number of the input and a number of the output. A block is a row of numbers, those
    of the same time beside each other.

    Attributes:
        up: Outputs per `down` inputs, with which it has no common factor.
        down: See `up`.
        numtaps: Number of taps of a filter. The filters follow each other, those of the input's first number first.
        outputs: Outputs in a block, a multiple of `up`; equal to it unless `dense`.
        inputs: Inputs in a block.
        offset: The input of a block that stands at the time of its first output.
        lags: How many blocks of inputs reach one block of outputs.
        dense: Whether to multiply by matrices with zeros (many taps), or tap by tap.
        fan_in: Numbers of an input.
        fan_out: Numbers of an output.
    """

    up: int
    down: int
    numtaps: int
    outputs: int
    inputs: int
    offset: int
    lags: int
    dense: bool
    fan_in: int = 1
    fan_out: int = 1

    @property
    def total(self) -> int:
        """Number of taps of all filters."""
        return self.fan_in * self.fan_out * self.numtaps

    def links(self) -> list[tuple[int, int, int, int]]:
        """(output, input, lag in blocks, tap) of each tap, where a block has `up` outputs: one link a tap."""
        inverse = pow(self.down, -1, self.up) if self.up > 1 else 0
        single = []
        for tap in range(self.numtaps):
            output = tap * inverse % self.up
            place = (output * self.down - tap) // self.up + self.offset
            single.append((output, place % self.inputs, -(place // self.inputs)))
        return [
            (output * self.fan_out + o, place * self.fan_in + i, lag, number)
            for number, ((i, o), (output, place, lag)) in enumerate(
                product(product(range(self.fan_in), range(self.fan_out)), single)
            )
        ]


def by_matrix(taps: int, up: int, down: int, channels: int, *, shared: bool) -> bool:
    """Whether to multiply by matrices, or tap by tap.

    One channel goes by matrices, since nothing else in it is contiguous; so do many taps or phases. Channels that
    share their taps do, unless compiled code makes a single pass of a few.
    """
    if shared:
        return not torch.compiler.is_compiling() or max(taps, up, down) > _MOST_SHARED_BY_TAP
    return channels == 1 or max(taps, up, down) > _MOST_BY_TAP


def make_grid(
    numtaps: int,
    memory: int,
    up: int,
    down: int,
    *,
    dense: bool,
    one_period: bool,
    fan_in: int = 1,
    fan_out: int = 1,
) -> BlockGrid:
    """The blocks for filters that remember `memory` inputs: of one period each, if asked for, or of several."""
    # Longer blocks than the filter keep most numbers of a matrix no zeros; the bands of a bank fill it by themselves.
    longer = dense and not one_period and fan_in == fan_out == 1
    times = max(-(-memory // down), -(-16 // max(up, down)), 1) if longer else 1
    size = times * down
    # A block of a single output ends with the input at its time: then a filter reaches the fewest blocks.
    offset = size - 1 if up == times == 1 else 0
    lags = 1 - (offset - memory) // size
    return BlockGrid(up, down, numtaps, times * up, size, offset, lags, dense, fan_in, fan_out)


def in_blocks(seen: Tensor, history: int, start: int, grid: BlockGrid) -> Tensor:
    """The chunk, from that block on that the last multiple of M is in, behind as many blocks as the taps reach.

    Shape:
        seen: (batch, history + time, fan_in * channels).
        Result: (batch, blocks + lags - 1, inputs * fan_in, channels).
    """
    (batch, length, width), size = seen.shape, grid.inputs
    time = length - history + start
    blocks = (time + size - 1) // size
    if torch.compiler.is_compiling():
        blocks += 1  # or one graph would hold for a single block, and another for several
    before = (grid.lags - 1) * size + grid.offset + start - history
    padded = F.pad(seen, (0, 0, before, blocks * size - time - grid.offset))
    row, channels = size * grid.fan_in, width // grid.fan_in
    if size > 1 and torch.compiler.is_exporting():
        # A view is only allowed where it is proved that the blocks divide the time.
        padded = padded.unfold(1, size, size).transpose(2, 3)
        return padded.reshape(batch, padded.shape[1], row, channels) if grid.fan_in > 1 else padded
    return padded.view(batch, blocks + grid.lags - 1, row, channels)


def own_samples(x: Tensor, grid: BlockGrid, position: Tensor, start: int) -> tuple[Tensor, BlockGrid]:
    """Give each block all the samples that its outputs meet, zeros for those of another segment than its first."""
    blocks, size = x.shape[1] - (grid.lags - 1), grid.inputs
    # Before the chunk: as though the segment of its first sample had gone on so long.
    before = position[:, :1] - torch.arange(start, 0, -1, device=x.device)
    age = F.pad(torch.cat([before, position], 1), (0, blocks * size - start - position.shape[1]), value=-1)
    age = age.view(x.shape[0], blocks, size)
    first, since = age[:, :, :1], torch.arange(size, device=x.device) - grid.offset
    lags = range(grid.lags - 1, 0, -1)
    last = first >= -since if grid.offset else (age >= 0) & (age - since == first)
    own = [*(first >= lag * size - since for lag in lags), last]
    met = [x.narrow(1, grid.lags - 1 - lag, blocks) for lag in (*lags, 0)]
    # Not a product: what stands in another segment may be infinite.
    zero = torch.zeros((), dtype=x.dtype, device=x.device)
    frames = [
        torch.where(mask.unsqueeze(-1), part.unflatten(2, (size, -1)).flatten(3), zero)
        for mask, part in zip(own, met, strict=True)
    ]
    width = grid.lags * size
    together = torch.cat(frames, 2).unflatten(3, (grid.fan_in, -1)).flatten(2, 3)
    return together, grid._replace(inputs=width, offset=width - size + grid.offset, lags=1)

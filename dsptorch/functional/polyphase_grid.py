"""Blocks of inputs, blocks of outputs, and the taps between them.

An input is `fan_in` numbers, and an output is `fan_out` numbers. Both are 1 for a decimator. The analysis of a
filterbank has one output number for each band, and the synthesis has one input number for each band.
"""

from itertools import product
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from dsptorch.functional.dynamo import is_exporting

__all__ = ["BlockGrid", "by_matrix", "in_blocks", "make_grid", "own_samples"]

_MOST_BY_TAP = 128  # above this, a product of matrices with zeros is faster than one operation per tap
_MOST_SHARED_BY_TAP = 32  # above this, compilation takes long


class BlockGrid(NamedTuple):
    """The assignment of taps to pairs of input and output of a block.

    Output p is connected with input m of the block `lag` blocks earlier by tap

        p * down - (m - offset) * up + lag * inputs * up

    of the filter for a pair of an input number and an output number. A block is a row of numbers, and the numbers of
    one time are contiguous.

    Attributes:
        up: Outputs per `down` inputs; `up` and `down` have no common factor.
        down: See `up`.
        numtaps: Number of taps of a filter. The filters are concatenated, ordered by the number of the input first.
        outputs: Outputs in a block, a multiple of `up`; equal to `up` unless `dense`.
        inputs: Inputs in a block.
        offset: The index of the input at the time of the first output of a block.
        lags: Number of blocks of inputs that reach one block of outputs.
        dense: True multiplies by matrices with zeros (for many taps); False runs tap by tap.
        fan_in: Count of numbers in an input.
        fan_out: Count of numbers in an output.
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
        """For blocks of `up` outputs, one link for each tap: (output, input, lag in blocks, tap)."""
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
    """Whether to multiply by matrices instead of running tap by tap.

    Matrices are faster for a single channel, where no other dimension is contiguous, and for many taps or phases. They
    are also faster for channels that share their taps, except in compiled code with few taps, which runs as one pass.
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
    """Choose the blocks for filters that remember `memory` inputs: one period each if asked for, otherwise several."""
    # In blocks longer than the filter, most entries of the matrix are not zero; the bands of a bank fill it anyway.
    longer = dense and not one_period and fan_in == fan_out == 1
    times = max(-(-memory // down), -(-16 // max(up, down)), 1) if longer else 1
    size = times * down
    # A block with a single output ends with the input at its time, so that a filter reaches the fewest blocks.
    offset = size - 1 if up == times == 1 else 0
    lags = 1 - (offset - memory) // size
    return BlockGrid(up, down, numtaps, times * up, size, offset, lags, dense, fan_in, fan_out)


def in_blocks(seen: Tensor, history: int, start: int, grid: BlockGrid) -> Tensor:
    """Cut the chunk into blocks, from the block of the last multiple of M on, preceded by the blocks that taps reach.

    Shape:
        seen: (batch, history + time, fan_in * channels).
        Result: (batch, blocks + lags - 1, inputs * fan_in, channels).
    """
    (batch, length, width), size = seen.shape, grid.inputs
    time = length - history + start
    blocks = (time + size - 1) // size
    if torch.compiler.is_compiling():
        blocks += 1  # never a single block, which would need a graph of its own
    before = (grid.lags - 1) * size + grid.offset + start - history
    padded = F.pad(seen, (0, 0, before, blocks * size - time - grid.offset))
    row, channels = size * grid.fan_in, width // grid.fan_in
    if size > 1 and is_exporting():
        # A view needs a proof that the block size divides the time.
        padded = padded.unfold(1, size, size).transpose(2, 3)
        return padded.reshape(batch, padded.shape[1], row, channels) if grid.fan_in > 1 else padded
    return padded.reshape(
        batch, blocks + grid.lags - 1, row, channels
    )  # a copy, if the numbers of a sample are apart


def own_samples(x: Tensor, grid: BlockGrid, position: Tensor, start: int) -> tuple[Tensor, BlockGrid]:
    """Copy into each block all samples that its outputs use, with zeros for samples of another segment."""
    blocks, size = x.shape[1] - (grid.lags - 1), grid.inputs
    # Before the chunk, take the segment of its first sample.
    before = position[:, :1] - torch.arange(start, 0, -1, device=x.device)
    age = F.pad(torch.cat([before, position], 1), (0, blocks * size - start - position.shape[1]), value=-1)
    age = age.view(x.shape[0], blocks, size)
    first, since = age[:, :, :1], torch.arange(size, device=x.device) - grid.offset
    lags = range(grid.lags - 1, 0, -1)
    last = first >= -since if grid.offset else (age >= 0) & (age - since == first)
    own = [*(first >= lag * size - since for lag in lags), last]
    met = [x.narrow(1, grid.lags - 1 - lag, blocks) for lag in (*lags, 0)]
    # Not a product, because samples of another segment may be infinite.
    zero = torch.zeros((), dtype=x.dtype, device=x.device)
    frames = [
        torch.where(mask.unsqueeze(-1), part.unflatten(2, (size, -1)).flatten(3), zero)
        for mask, part in zip(own, met, strict=True)
    ]
    width = grid.lags * size
    together = torch.cat(frames, 2).unflatten(3, (grid.fan_in, -1)).flatten(2, 3)
    return together, grid._replace(inputs=width, offset=width - size + grid.offset, lags=1)

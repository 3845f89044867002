"""Blocks of inputs and blocks of outputs, and the taps between them."""

from typing import NamedTuple

__all__ = ["BlockGrid"]


class BlockGrid(NamedTuple):
    """Which tap connects which input of a block with which output.

    Input m of the block `lag` blocks before that of output p meets tap p * down - (m - offset) * up + lag * inputs * up.

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

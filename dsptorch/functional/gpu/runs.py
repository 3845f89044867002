"""How the work of the kernels that hold windows of a signal in registers is cut: into runs of time.

A thread goes through a run in blocks of samples, those of a block being on their way from memory together. A tile is
some runs by some channels.
"""

from typing import NamedTuple

from dsptorch.functional.powers import power_of_two

__all__ = ["BLOCK", "FEWEST", "Runs", "cut"]

FEWEST = 8  # channels; the threads of a warp that have none go through another run each, far from each other in memory
CHANNELS = 64  # of a tile
THREADS = 128  # of a program
BLOCK = 8  # samples of a block, or a few more
BLOCKS = 8  # of a run


class Runs(NamedTuple):
    """The blocks of a run, the tiles of a row of the signal and of its channels, and the constants of a kernel."""

    blocks: int
    run_tiles: int
    channel_tiles: int
    options: dict[str, int]


def cut(time: int, channels: int, block: int, each: int) -> Runs:
    """Cut a signal of `time` samples into runs of blocks of `block` samples, for threads of `each` channels."""
    block_c = min(power_of_two(channels), CHANNELS)
    blocks = min(BLOCKS, -(-time // block))
    runs = -(-time // (blocks * block))
    block_r = min(power_of_two(runs), max(THREADS * each // block_c, 1))
    warps = max(1, block_r * block_c // (32 * each))
    options = {"BLOCK_T": block, "BLOCK_R": block_r, "BLOCK_C": block_c, "num_warps": warps}
    return Runs(blocks, -(-runs // block_r), -(-channels // block_c), options)

"""Recurrences of two states on a GPU: resonators and second-order sections.

A program is one warp, which goes through a chunk sample by sample; so there are many chunks.
"""

import torch
from torch import Tensor

from dsptorch.functional.gpu.choice import launches
from dsptorch.functional.powers import power_of_two

__all__ = ["run_pairs"]

CHANNELS = 128  # of a program
SHORTEST = 16  # samples of a chunk
WARPS = 4  # in the place of a larger program


def run_pairs(
    x: Tensor,
    a: Tensor,
    first: Tensor | None,
    begins: Tensor | None,
    reverse: bool,
    gain: Tensor | None,
    out: Tensor,
    last: Tensor,
) -> None:
    """All states into `out`, and the last ones into `last`: as of `recurrence`, of a signal that is not empty."""
    from dsptorch.functional.gpu.kernels import sum_type  # noqa: PLC0415
    from dsptorch.functional.gpu.kernels.pairs import pair_carry_kernel, pair_chunk_kernel  # noqa: PLC0415

    batch, time, states, channels = x.shape
    varying, coupled, dtype = a.dim() == 6, states == 2, last.dtype
    block_c = min(CHANNELS, power_of_two(channels))
    channel_tiles = -(-channels // block_c)
    wanted = -(-time // launches(-(-time // SHORTEST), -(-batch * channel_tiles // WARPS)))
    doublings = (wanted - 1).bit_length()
    chunk = 1 << doublings  # so that the power of a matrix is some squares
    chunks = -(-time // chunk)
    if chunks > 1:
        before = x.new_empty(batch, chunks, 2, channels, dtype=dtype)
    else:
        before = x.new_zeros(batch, 2, channels, dtype=dtype) if first is None else first
    options = {
        "COUPLED": coupled,
        "VARYING": varying,
        "SUM": sum_type(dtype),
        "BLOCK_C": block_c,
        "num_warps": 1,
    }
    of_chunk = {"GAIN": gain is not None, "SEGMENTS": begins is not None, "REVERSE": reverse, **options}
    matrix = (a.stride(-4), a.stride(-3), a.stride(-2), a.stride(-1))
    arguments = (
        *(time, channels, chunk, chunks, channel_tiles),
        *x.stride(),
        *((a.stride(0), a.stride(1)) if varying else (0, 0)),
        *matrix,
        0 if gain is None else gain.stride(0),
    )
    given, grid = (x, a, gain, begins, before), (channel_tiles * chunks * batch,)
    if chunks > 1:
        ends, through = torch.empty_like(before), before.new_empty(batch, chunks, 4, channels)
        pair_chunk_kernel[grid](*given, None, ends, through, *arguments, FROM_REST=True, **of_chunk)
        pair_carry_kernel[(channel_tiles * batch,)](
            ends,
            through,
            a,
            before,
            first,
            channels,
            chunks,
            channel_tiles,
            doublings,
            *matrix,
            STATE=first is not None,
            **options,
        )
    pair_chunk_kernel[grid](*given, out, last, None, *arguments, FROM_REST=False, **of_chunk)

"""The linear recurrence on a GPU: what stands behind the operator `dsptorch::scan` of `dsptorch.functional.scan`.

The loops of the blocked scan launch some sixteen operations at each rate; the kernels read the signal twice and write
it once, in three launches or four.
"""

import torch
from torch import Tensor

from dsptorch.functional.gpu.choice import device_of, launches, uses_kernels
from dsptorch.functional.powers import power_of_two

__all__ = ["recurrence", "runs_on_kernels"]

TIME, CHANNELS = 64, 32  # of a tile
SHORTEST = 4  # tiles of a chunk


def runs_on_kernels(x: Tensor, a: Tensor) -> bool:
    """Whether the kernels take a recurrence: of the first order, one state a channel."""
    return a.shape[-4:-1] == (1, 1, 1) and uses_kernels(x, a)


def recurrence(
    x: Tensor, a: Tensor, state: Tensor | None, begins: Tensor | None, reverse: bool, gain: Tensor | None
) -> Tensor:
    """All states, as of `scan`, in the wider dtype of x and a.

    Shape:
        x: (batch, time, 1, channels). a: (1, 1, 1, channels) or (batch, time, 1, 1, 1, channels). state:
        (batch, 1, channels). begins: (batch, time). gain: (channels,). Result: (batch, time, 1, channels).
    """
    with device_of(x):
        return _recurrence(x, a, state, begins, reverse, gain)


def _recurrence(
    x: Tensor, a: Tensor, state: Tensor | None, begins: Tensor | None, reverse: bool, gain: Tensor | None
) -> Tensor:
    from dsptorch.functional.gpu.kernels import sum_type  # noqa: PLC0415
    from dsptorch.functional.gpu.kernels.recurrence import carry_kernel, chunk_kernel, power_kernel  # noqa: PLC0415

    batch, time, _, channels = x.shape
    dtype = torch.promote_types(x.dtype, a.dtype)
    out = x.new_empty(x.shape, dtype=dtype)
    if out.numel() == 0:
        return out
    varying, first = a.dim() == 6, None if state is None else state.to(dtype).contiguous()
    block_t = min(TIME, power_of_two(time))
    channel_tiles = -(-channels // CHANNELS)
    # Chunks of a power of 2 of tiles, so that the power of a chunk is some squares of that of a tile.
    wanted = -(-time // launches(-(-time // (SHORTEST * block_t)), batch * channel_tiles))
    doublings = (-(-wanted // block_t) - 1).bit_length()
    chunk = block_t << doublings
    chunks = -(-time // chunk)
    powers = through = None
    if not varying:
        powers = x.new_empty(block_t + 1, channels, dtype=dtype)
        power_kernel[(channel_tiles,)](
            a, powers, channels, doublings, a.stride(-1), BLOCK_T=block_t, BLOCK_C=CHANNELS
        )
    if chunks > 1:
        states = x.new_empty(batch, chunks, channels, dtype=dtype)
    else:
        states = x.new_zeros(batch, channels, dtype=dtype) if first is None else first
    arguments = (
        *(time, channels, chunk, chunks, channel_tiles),
        *(x.stride(0), x.stride(1), x.stride(3)),
        *((a.stride(0), a.stride(1)) if varying else (0, 0)),
        a.stride(-1),
        0 if gain is None else gain.stride(0),
    )
    begins = None if begins is None else begins.contiguous()
    given = x, a, powers, gain, begins, states
    options = {
        "VARYING": varying,
        "GAIN": gain is not None,
        "SEGMENTS": begins is not None,
        "REVERSE": reverse,
        "SUM": sum_type(dtype),
        "BLOCK_T": block_t,
        "BLOCK_C": CHANNELS,
    }
    grid = (channel_tiles * chunks * batch,)
    if chunks > 1:
        through = torch.empty_like(states)
        chunk_kernel[grid](*given, None, through, *arguments, FROM_REST=True, **options)
        carry_kernel[(channel_tiles * batch,)](
            states,
            through,
            None if powers is None else powers[-1],
            first,
            channels,
            chunks,
            channel_tiles,
            CONSTANT=not varying,
            STATE=first is not None,
            BLOCK_C=CHANNELS,
        )
    chunk_kernel[grid](*given, out, None, *arguments, FROM_REST=False, **options)
    return out

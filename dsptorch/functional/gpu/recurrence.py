"""The linear recurrence on a GPU: what stands behind the operator `dsptorch::scan` of `dsptorch.functional.scan`.

The loops of the blocked scan launch some sixteen operations at each rate; the kernels read the signal twice and write
it once, in three launches or four.
"""

import torch
from torch import Tensor

from dsptorch.functional.gpu.choice import check_times, device_of, launches, uses_kernels
from dsptorch.functional.gpu.pairs import run_pairs
from dsptorch.functional.powers import power_of_two

__all__ = ["recurrence", "runs_on_kernels"]

ONE, PAIRS = (1, 1, 1), ((1, 2, 2), (2, 1, 1))  # order, states, states
TIME, CHANNELS = 64, 32  # of a tile
SHORTEST = 4  # tiles of a chunk


def runs_on_kernels(x: Tensor, a: Tensor) -> bool:
    """Whether the kernels take a recurrence: one state a channel of order one or two, or two of order one."""
    return tuple(a.shape[-4:-1]) in (ONE, *PAIRS) and uses_kernels(x, a)


def recurrence(
    x: Tensor,
    a: Tensor,
    state: Tensor | None,
    begins: Tensor | None,
    reverse: bool,
    gain: Tensor | None,
    narrow: bool,
) -> tuple[Tensor, Tensor]:
    """All states and the last one, as of `scan`: n is 1, or 2 for p = 1.

    Shape:
        x: (batch, time, n, channels). a: (p, n, n, channels) or (batch, time, p, n, n, channels). state:
        (batch, n, channels). begins: (batch, time). gain: (channels,). Result: as x, and as the state.
    """
    dtype = torch.promote_types(x.dtype, a.dtype)
    check_times(x.shape[1])
    out = x.new_empty(x.shape, dtype=x.dtype if narrow else dtype)
    first = None if state is None else state.to(dtype).contiguous()
    last = x.new_empty(x.shape[0], *x.shape[2:], dtype=dtype)
    begins = None if begins is None else begins.contiguous()
    if out.numel() == 0:
        return out, last.zero_() if first is None else last.copy_(first)
    run = run_pairs if a.shape[-4:-1] in PAIRS else _run_single
    with device_of(x):
        run(x, a, first, begins, reverse, gain, out, last)
    return out, last


def _run_single(
    x: Tensor,
    a: Tensor,
    first: Tensor | None,
    begins: Tensor | None,
    reverse: bool,
    gain: Tensor | None,
    out: Tensor,
    last: Tensor,
) -> None:
    from dsptorch.functional.gpu.kernels import sum_type  # noqa: PLC0415
    from dsptorch.functional.gpu.kernels.recurrence import carry_kernel, chunk_kernel, power_kernel  # noqa: PLC0415

    batch, time, _, channels = x.shape
    varying, dtype = a.dim() == 6, last.dtype
    block_t = min(TIME, power_of_two(time))
    block_c = min(CHANNELS, power_of_two(channels))
    channel_tiles = -(-channels // block_c)
    # Chunks of a power of 2 of tiles, so that the power of a chunk is some squares of that of a tile.
    wanted = -(-time // launches(-(-time // (SHORTEST * block_t)), batch * channel_tiles))
    doublings = (-(-wanted // block_t) - 1).bit_length()
    chunk = block_t << doublings
    chunks = -(-time // chunk)
    powers = None
    if not varying:
        powers = x.new_empty(block_t + 1, channels, dtype=dtype)
        power_kernel[(channel_tiles,)](
            a, powers, channels, doublings, a.stride(-1), BLOCK_T=block_t, BLOCK_C=block_c
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
    given = x, a, powers, gain, begins, states
    options = {
        "VARYING": varying,
        "GAIN": gain is not None,
        "SEGMENTS": begins is not None,
        "REVERSE": reverse,
        "SUM": sum_type(dtype),
        "BLOCK_T": block_t,
        "BLOCK_C": block_c,
    }
    grid = (channel_tiles * chunks * batch,)
    if chunks > 1:
        ends, through = torch.empty_like(states), torch.empty_like(states)
        chunk_kernel[grid](*given, None, ends, through, *arguments, FROM_REST=True, **options)
        carry_kernel[(channel_tiles * batch,)](
            ends,
            through,
            states,
            None if powers is None else powers[-1],
            first,
            channels,
            chunks,
            channel_tiles,
            CONSTANT=not varying,
            STATE=first is not None,
            BLOCK_C=block_c,
        )
    chunk_kernel[grid](*given, out, last, None, *arguments, FROM_REST=False, **options)

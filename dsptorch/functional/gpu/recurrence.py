"""The linear recurrence on a GPU: what stands behind the operator `dsptorch::scan` of `dsptorch.functional.scan`.

The loops of the blocked scan launch some sixteen operations at each rate. Kernels read the signal twice and write it
once: all chunks from rest, the recurrence that their last states obey, and all chunks again, from the right states.
"""

import torch
from torch import Tensor

from dsptorch.functional.gpu.choice import check_times, device_of, launches, uses_kernels
from dsptorch.functional.memo import is_transformed
from dsptorch.functional.operators import operator
from dsptorch.functional.powers import power_of_two
from dsptorch.functional.time_shifts import shifted, unless_begun

__all__ = ["gradients", "has_gradients", "recurrence", "runs_on_kernels", "scan_adjoint"]

KINDS = (1, 1, 1), (1, 2, 2), (2, 1, 1)  # order, states, states
SHORTEST = 32  # samples of a chunk
WHOLE = 256  # samples of a signal that is one chunk
PROGRAM = 256  # channels that share a program, where there are many
LANES = 64  # threads of a program
MANY = 2**17  # channels of all chunks, so many that a thread takes several
LOADED = 128  # bytes that a thread waits for
Pair = tuple[Tensor | None, Tensor | None]  # of the coefficients and of the gain


def runs_on_kernels(x: Tensor, a: Tensor) -> bool:
    """Whether the kernels take a recurrence: one state a channel of order one or two, or two of order one."""
    return tuple(a.shape[-4:-1]) in KINDS and uses_kernels(x, a)


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
    with device_of(x):
        _run(x, a, first, begins, reverse, gain, out, last)
    return out, last


def has_gradients(v: Tensor, a: Tensor) -> bool:
    """Whether `gradients` takes a recurrence: one number a channel, of a signal that is not empty.

    They are not differentiable: a backward pass that is runs the adjoint, and sums its products.
    """
    plain = not (torch.is_grad_enabled() or is_transformed())
    return (
        plain and a.dim() == 4 and tuple(a.shape[:3]) == (1, 1, 1) and v.numel() > 0 and runs_on_kernels(v, a)
    )


def gradients(
    v: Tensor,
    a: Tensor,
    state: Tensor | None,
    begins: Tensor | None,
    reverse: bool,
    gain: Tensor | None,
    y: Tensor,
    x: Tensor | None,
    dtype: torch.dtype,
) -> tuple[Tensor | None, ...]:
    """The gradients of a recurrence in its input, its coefficients, its first state and its gain: one pass more.

    Args:
        v: The gradient of all states.
        a: The coefficients, one number a channel.
        state: The state before the first sample, or None.
        begins: Where a signal begins, or None.
        reverse: Whether the recurrence runs backwards in time.
        gain: Its gain, or None.
        y: All states of the recurrence.
        x: Its input; None without a gain.
        dtype: That of the gradient in the input.
    """
    borders = None if begins is None else shifted(begins, 1 if reverse else -1).contiguous()
    of_x, of_a, of_gain, end = scan_adjoint(
        v, a, borders, not reverse, gain, y, None if gain is None else x, dtype
    )
    of_a, found = of_a.view(a.shape), None if gain is None else of_gain
    if state is None:
        return of_x, of_a, None, found
    of_a = of_a + unless_begun((end * state).unsqueeze(1), begins).sum((0, 1, 2))
    return of_x, of_a, unless_begun((end * a[0, 0]).unsqueeze(1), begins).squeeze(1), found


def _shape_of_scan_adjoint(
    v: Tensor,
    a: Tensor,
    begins: Tensor | None,
    reverse: bool,
    gain: Tensor | None,
    y: Tensor,
    x: Tensor | None,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    wide = torch.promote_types(v.dtype, a.dtype)
    of_a, of_gain = (v.new_empty(0 if part is None else v.shape[-1], dtype=wide) for part in (y, x))
    last = v.new_empty(v.shape[0], *v.shape[2:], dtype=wide)
    return v.new_empty(v.shape, dtype=dtype), of_a, of_gain, last


@operator("scan_adjoint", _shape_of_scan_adjoint)
def scan_adjoint(
    v: Tensor,
    a: Tensor,
    begins: Tensor | None,
    reverse: bool,
    gain: Tensor | None,
    y: Tensor,
    x: Tensor | None,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The states of an adjoint times the gain, their sums with the factors y and x, and the last state."""
    out = v.new_empty(v.shape, dtype=dtype)
    end = v.new_empty(v.shape[0], *v.shape[2:], dtype=torch.promote_types(v.dtype, a.dtype))
    factors = y.contiguous(), None if x is None else x.contiguous()
    with device_of(v):
        sums = _run(v, a, None, begins, reverse, gain, out, end, factors)
    of_a, of_gain = (end.new_empty(0) if part is None else part.sum((0, 1)) for part in sums)
    return out, of_a, of_gain, end


def _run(
    x: Tensor,
    a: Tensor,
    first: Tensor | None,
    begins: Tensor | None,
    reverse: bool,
    gain: Tensor | None,
    out: Tensor,
    last: Tensor | None,
    factors: Pair = (None, None),
) -> Pair:
    """All states into `out`, and the last ones into `last`; the states before the chunks are found in the same way.

    Returns the sums over each chunk of the gradients in a and in the gain, for whose products the factors are given.
    """
    (batch, time, width, channels), order = x.shape, a.shape[-4]
    doublings, dtype = _doublings(batch, time, channels), torch.promote_types(x.dtype, a.dtype)
    whole, states = (time - 1) >> doublings, order * width  # chunks that another one follows
    before = None
    if whole:
        ends = x.new_empty(batch, whole, states, channels, dtype=dtype)
        through = ends.new_empty(*(batch, whole) * (a.dim() == 6), 1, states, states, channels)
        seen = None if begins is None else begins.new_empty(batch, whole)
        given = None, None, None, ends, through, seen
        own = gain if factors[0] is None else None  # of an adjoint, the gain is that of its output
        _launch(x, a, own, begins, given, reverse, doublings, whole, from_rest=True)
        before = torch.empty_like(ends)
        _run(ends, through, first, seen, False, None, before, None)
    size = batch, whole + 1, channels
    of_a, of_gain = (None if part is None else x.new_empty(size, dtype=dtype) for part in factors)
    others, sums = (first, before, out, last, None, None), (of_a, of_gain)
    _launch(x, a, gain, begins, others, reverse, doublings, whole + 1, factors, sums, from_rest=False)
    return sums


def _doublings(batch: int, time: int, channels: int) -> int:
    """The base-2 logarithm of the samples of a chunk: the power of a matrix is that many squares."""
    if time <= WHOLE:
        return (time - 1).bit_length()
    wanted = -(-time // launches(-(-time // SHORTEST), -(-batch * channels // PROGRAM)))
    return (2 * wanted // 3).bit_length()  # of the nearest power of 2


def _launch(
    x: Tensor,
    a: Tensor,
    gain: Tensor | None,
    begins: Tensor | None,
    others: tuple[Tensor | None, ...],
    reverse: bool,
    doublings: int,
    chunks: int,
    factors: Pair = (None, None),
    sums: Pair = (None, None),
    *,
    from_rest: bool,
) -> None:
    from dsptorch.functional.gpu.kernels import sum_type  # noqa: PLC0415
    from dsptorch.functional.gpu.kernels.recurrence import chunk_kernel  # noqa: PLC0415

    (batch, time, width, channels), order, varying = x.shape, a.shape[-4], a.dim() == 6
    runs, chunk = batch * chunks, 1 << doublings
    neighbours = _neighbours(x, a) if runs * channels >= MANY else 1
    block_c = min(LANES * neighbours, power_of_two(channels))
    block_r = min(LANES * neighbours // block_c, power_of_two(runs))
    channel_tiles = -(-channels // block_c)
    loaded = width * x.element_size() + (order * width**2 * a.element_size() if varying else 0)
    loaded += sum(part.element_size() for part in factors if part is not None)
    chunk_kernel[(channel_tiles * -(-runs // block_r),)](
        *(x, a, gain, begins, *others, *factors, *sums),
        *(time, channels, chunk, doublings, chunks, runs, channel_tiles),
        *x.stride(),
        *(a.stride() if varying else (0, 0, *a.stride())),
        0 if gain is None else gain.stride(0),
        ORDER=order,
        WIDTH=width,
        VARYING=varying,
        REVERSE=reverse,
        FROM_REST=from_rest,
        SUM=sum_type(torch.promote_types(x.dtype, a.dtype)),
        UNROLL=min(chunk, 32, power_of_two(max(1, LOADED // (width * neighbours * loaded)) + 1) // 2),
        BLOCK_R=block_r,
        BLOCK_C=block_c,
        num_warps=max(1, LANES // 32),
    )


def _neighbours(x: Tensor, a: Tensor) -> int:
    """The neighbouring channels of a thread: as many as it loads at once, if all signals are aligned."""
    signals = [x, a] if a.dim() == 6 else [x]
    aligned = [n for part in signals for n in (part.data_ptr(), *part.shape[-1:], *part.stride()[:-1])]
    if any(n % 16 for n in aligned) or any(part.stride(-1) != 1 for part in signals):
        return 1
    return min(4, 16 // torch.promote_types(x.dtype, a.dtype).itemsize)

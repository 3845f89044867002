"""The blocked scan: all states of a linear recurrence, computed by short loops at two or more rates.

    y[t] = a_1 y[t-1] + ... + a_p y[t-p] + g x[t]

A loop over T samples runs T small operations in sequence. In blocks of L samples, the recurrence first runs from rest
in all blocks at once. The last p states of the blocks then obey a recurrence of the first order at 1 / L of the rate,
whose coefficient is a power of the companion matrix, and are found in the same way. Finally each sample adds the
response to the states before its block. This takes about L operations at each rate, and three passes over the signal.

Derivatives, segments, chunks and layers use only `scan`, so another implementation can replace it.

References:
    C. S. Burrus, Block implementation of digital filters, 1971, IEEE Transactions on Circuit Theory 18(6), 697-701.
"""

from collections.abc import Callable, Iterator
from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import Tensor

from dsptorch.functional.dynamo import is_exporting
from dsptorch.functional.gpu.recurrence import recurrence, runs_on_kernels
from dsptorch.functional.matrix_powers import companion, in_range, matmul, powers_of, products_of
from dsptorch.functional.operators import operator

__all__ = ["scan"]

_SIZE, _LONG = 16, 512  # samples of a block; twice as many in signals of that length
_SHORT = 4, 2  # blocks as long as which a signal is one block: of one state a channel, and of more
# Rates of blocks, and steps at the last rate, of a program of dynamic length: up to 2^32 samples.
_LEVELS, _DOUBLINGS = 2, 24


def scan(
    x: Tensor,
    a: Tensor,
    state: Tensor | None = None,
    begins: Tensor | None = None,
    reverse: bool = False,
    gain: Tensor | None = None,
    narrow: bool = False,
) -> tuple[Tensor, Tensor]:
    """All states of a recurrence of n coupled states a channel, and the last one: without derivatives.

    To a compiler, and on a GPU, it is one operator, `torch.ops.dsptorch.scan`; an exported program holds its loops.

    Args:
        x: The input.
        a: The matrices a_1 ... a_p: constant, or those of each sample.
        state: The state before the first sample, for p = 1; None: zero.
        begins: Where a signal begins, which does not see the samples before it; None: nowhere.
        reverse: Whether time runs backwards, from rest: y[t] = a_1 y[t+1] + ... + g x[t].
        gain: g, in place of a pass over the signal before or after the scan; None: 1.
        narrow: Whether all states are in the dtype of x, not in the wider one of x and a; the last one never is.

    Shape:
        x: (batch, time, n, channels). a: (p, n, n, channels) or (batch, time, p, n, n, channels). state:
        (batch, n, channels). begins: (batch, time), bool. gain: (channels,). Result: as x, and as the state; both in
        memory of their own. All are of one dtype; kernels take an x that is narrower.
    """
    if (torch.compiler.is_compiling() and not is_exporting()) or runs_on_kernels(x, a):
        y, last = _operator(x, a, state, begins, reverse, gain, narrow)
        return y, last
    return _loops(x, a, state, begins, reverse, gain)


def _shape_of_scan(
    x: Tensor,
    a: Tensor,
    state: Tensor | None,
    begins: Tensor | None,
    reverse: bool,
    gain: Tensor | None,
    narrow: bool,
) -> tuple[Tensor, Tensor]:
    dtype = torch.promote_types(x.dtype, a.dtype)
    y = x.new_empty(x.shape, dtype=x.dtype if narrow else dtype)
    return y, x.new_empty(x.shape[:1] + x.shape[2:], dtype=dtype)


@operator("scan", _shape_of_scan)
def _operator(
    x: Tensor,
    a: Tensor,
    state: Tensor | None,
    begins: Tensor | None,
    reverse: bool,
    gain: Tensor | None,
    narrow: bool,
) -> tuple[Tensor, Tensor]:
    if runs_on_kernels(x, a):
        return recurrence(x, a, state, begins, reverse, gain, narrow)
    return _loops(x, a, state, begins, reverse, gain)


def _loops(
    x: Tensor,
    a: Tensor,
    state: Tensor | None,
    begins: Tensor | None,
    reverse: bool,
    gain: Tensor | None,
) -> tuple[Tensor, Tensor]:
    y = _blocked(x, a, state, begins, reverse, gain)
    first = y.new_zeros(y.shape[:1] + y.shape[2:]) if state is None else state
    edge = 0 if reverse else -1
    if torch.compiler.is_compiling():  # of any length, 0 too
        ends = [y, first.unsqueeze(1)] if reverse else [first.unsqueeze(1), y]
        return y, torch.cat(ends, 1)[:, edge].clone()
    return y, (y[:, edge] if y.shape[1] else first).clone()


def _blocked(
    x: Tensor,
    a: Tensor,
    state: Tensor | None,
    begins: Tensor | None,
    reverse: bool,
    gain: Tensor | None = None,
    levels: int = _LEVELS,
) -> Tensor:
    time, symbolic = x.shape[1], isinstance(x.shape[1], torch.SymInt)
    u = x if gain is None else (x * gain).contiguous()
    if symbolic and levels == 0:
        return _doubled(u, a, state, begins, reverse)
    size = _SIZE if symbolic or time < _LONG else 2 * _SIZE
    # Of a symbolic length, one block more than needed, and two: a single one would have a program of its own.
    blocks = time // size + 3 if symbolic else (time + size - 1) // size
    one = not symbolic and time <= _SHORT[x.shape[-2] * a.shape[-4] > 1] * size
    if one:
        blocks, size = 1, time
    y = _padded(u, blocks * size)
    y = x.clone(memory_format=torch.contiguous_format) if y is x else y  # the loops write into it
    matrices = [a] if a.dim() == 4 else _samples(_padded(a, blocks * size), size, reverse)
    borders = None if begins is None else _samples(_padded(begins, blocks * size), size, reverse)
    first = state.unsqueeze(1) if one and state is not None else None
    states = _run(_samples(y, size, reverse), matrices, borders, first)
    if torch.compiler.is_compiling():  # then nothing was written into y
        y = _stacked(states, reverse).flatten(1, 2)
    if one:
        return y
    companions = [companion(matrix) for matrix in matrices]
    powers = powers_of(companions[0], size) if a.dim() == 4 else products_of(companions)
    seen = None if borders is None else list(accumulate(borders, torch.logical_or))
    ends = _blocked(
        _last(states, borders, a.shape[-4]),
        powers.select(-4, -1).unsqueeze(-4),
        state,
        None if seen is None else seen[-1],
        reverse,
        levels=levels - 1,
    )
    _add(
        _in_blocks(y, size),
        powers.flip(-4) if reverse else powers,
        _neighbours(ends, state, reverse),
        None if seen is None else _stacked(seen, reverse),
    )
    return _padded(y, time)


def _run(
    xs: list[Tensor], matrices: list[Tensor], borders: list[Tensor] | None, state: Tensor | None
) -> list[Tensor]:
    """The states, one sample after the other; if nothing is compiled, in the memory of the input."""
    add = torch.addcmul if torch.compiler.is_compiling() else Tensor.addcmul_
    if borders is None and [a.shape[-4:-1] for a in matrices] == [(1, 1, 1)]:
        return list(_one_pole(xs, matrices[0][..., 0, :, 0, :], state, add))
    columns = [[a_k.unbind(-2) for a_k in a.unbind(-4)] for a in matrices]
    before = [] if state is None else [state]  # the one before this sample, the one before that ...
    states: list[Tensor] = []
    for i, x in enumerate(xs):
        if borders is not None:
            before = [_unless(borders[i], y) for y in before]
        y = x
        for column, past in zip(columns[i % len(columns)], before, strict=False):
            for factor, part in zip(column, _parts(past), strict=True):
                y = add(y, factor, part)
        before = [y, *before][: len(columns[0])]
        states.append(y)
    return states


def _one_pole(
    xs: list[Tensor], a: Tensor, state: Tensor | None, add: Callable[[Tensor, Tensor, Tensor], Tensor]
) -> Iterator[Tensor]:
    """`_run` of the commonest recurrence, whose steps are so short that lists of lags would cost as much."""
    for x in xs:
        state = x if state is None else add(x, a, state)
        yield state


def _last(states: list[Tensor], borders: list[Tensor] | None, order: int) -> Tensor:
    """The last states of each block, the last one first, as one: (batch, blocks, order * n, channels)."""
    last = states[: -order - 1 : -1]
    if borders is not None:
        for k in range(1, order):
            last[k:] = [_unless(borders[-k], y) for y in last[k:]]
    return torch.cat(last, -2)


def _add(y: Tensor, powers: Tensor, before: Tensor, seen: Tensor | None) -> None:
    """Add to the samples of each block what the states before it have become, unless a signal has begun since."""
    n = y.shape[-2]
    for power, state in zip(powers.narrow(-3, 0, n).unbind(-2), _parts(before.unsqueeze(2)), strict=True):
        if seen is None:
            y.addcmul_(power, state)
        else:
            y.add_(_unless(seen, power * state))


def _unless(begun: Tensor, y: Tensor) -> Tensor:
    """y, but 0 where a signal has begun: not a product, since 0 times infinity is NaN."""
    return y.masked_fill(begun[..., None, None], 0)


def _parts(state: Tensor) -> tuple[Tensor, ...]:
    """The n coupled states of each channel apart, each (..., 1, channels)."""
    return (state,) if state.shape[-2] == 1 else state.split(1, -2)


def _neighbours(ends: Tensor, state: Tensor | None, reverse: bool) -> Tensor:
    """The states at the end of the block before each one; backwards in time, of the block after it."""
    first = torch.zeros_like(ends[:, :1]) if state is None else state.unsqueeze(1)
    return torch.cat([ends[:, 1:], first] if reverse else [first, ends[:, :-1]], 1)


def _doubled(x: Tensor, a: Tensor, state: Tensor | None, begins: Tensor | None, reverse: bool) -> Tensor:
    """The same for p = 1 and any length in a fixed number of steps: after k of them, a state knows 2^k samples."""
    if state is not None:
        first = _run(
            [x[:, 0].clone()],
            [a if a.dim() == 4 else a[:, 0]],
            None if begins is None else [begins[:, 0]],
            state,
        )
        x = torch.cat([first[0].unsqueeze(1), x[:, 1:]], 1)
    power = a.squeeze(-4) if a.dim() == 6 or a.device.type == "mps" else a.squeeze(-4).double()
    times = torch.arange(x.shape[1], device=x.device)
    for k in range(_DOUBLINGS):
        at = times + 2**k if reverse else times - 2**k
        outside = at >= x.shape[1] if reverse else at < 0
        at = torch.where(outside, times, at)
        before = _unless(outside if begins is None else outside | begins, x.index_select(1, at))
        columns = in_range(power, x.dtype).unbind(-2)
        x = sum((column * part for column, part in zip(columns, _parts(before), strict=True)), x)
        power = in_range(matmul(power, power if a.dim() == 4 else power.index_select(1, at)), power.dtype)
        begins = None if begins is None else begins | (begins.index_select(1, at) & ~outside)
    return x


def _samples(x: Tensor, size: int, reverse: bool) -> list[Tensor]:
    """The samples of all blocks, in the order in which they are computed: each (batch, blocks, ...)."""
    samples = _in_blocks(x, size).unbind(2)
    return list(samples[::-1] if reverse else samples)


def _in_blocks(x: Tensor, size: int) -> Tensor:
    """A signal of whole blocks, as a view: (batch, blocks, size, ...)."""
    if isinstance(x.shape[1], torch.SymInt):  # of which an exporter cannot prove that the size divides it
        return x.unfold(1, size, size).movedim(-1, 2)
    return x.view(x.shape[0], x.shape[1] // size, size, *x.shape[2:]) if size else x.unsqueeze(1)


def _stacked(samples: list[Tensor], reverse: bool) -> Tensor:
    return torch.stack(samples[::-1] if reverse else samples, 2)


def _padded(x: Tensor, length: int) -> Tensor:
    """A signal made longer at its end by zeros, or cut there; the very signal, if it has the length."""
    if not isinstance(length, torch.SymInt) and x.shape[1] == length:
        return x
    return F.pad(x, (*(0, 0) * (x.dim() - 2), 0, length - x.shape[1]))

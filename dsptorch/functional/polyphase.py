"""The kernel of every change of rate: blocks of inputs to blocks of outputs, through one set of taps.

Where L outputs go with every M inputs, tap h[i] connects input j with output n if i = n M - j L. In blocks of M inputs
and L outputs that is one trilinear form,

    S(x, h, v) = sum over b, q, i, c of  v[b, q, p_i, c] * h[i, c] * x[b, q - a_i, m_i, c],

in which tap i connects input m_i of the block a_i blocks earlier with output p_i. Its three partial derivatives are the
filter (in v), the adjoint (in x) and the correlation (in h). The form treats x and v alike, so the adjoint is the
filter with inputs and outputs exchanged: the adjoint of decimation is upsampling with the same taps. One
`autograd.Function` over the three is differentiable to any order and saves nothing but its own inputs.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import Function

__all__ = ["BlockGrid", "block_filter"]

_X, _H, _V = range(3)
_Link = tuple[int, int, int, int]


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


def block_filter(x: Tensor, taps: Tensor, grid: BlockGrid) -> Tensor:
    """Filter blocks of inputs into blocks of outputs: the derivative of S in v.

    Args:
        x: The blocks of inputs, behind the `grid.lags - 1` blocks before them.
        taps: One filter for each channel.
        grid: Which tap connects which input with which output.

    Shape:
        x: (batch, blocks + grid.lags - 1, grid.inputs, channels). taps: (grid.numtaps, channels).
        Result: (batch, blocks, grid.outputs, channels), in the dtype of x; half precision is accumulated in float32.

    Example:
        >>> pairs = torch.tensor([1.0, 2.0, 3.0, 4.0]).reshape(1, 2, 2, 1)
        >>> first = BlockGrid(up=1, down=2, numtaps=1, outputs=1, inputs=2, offset=0, lags=1, dense=False)
        >>> block_filter(pairs, torch.ones(1, 1), first).flatten()
        tensor([1., 3.])

    References:
        P. P. Vaidyanathan, Multirate Systems and Filter Banks, 1993, section 4.3 (polyphase decomposition), page 120.
    """
    return _partial(_V, {_X: x, _H: taps}, grid)


def _partial(slot: int, parts: Mapping[int, Tensor], grid: BlockGrid) -> Tensor:
    """The derivative of S in one of its arguments, given the other two."""
    first, second = (parts[i] for i in (_X, _H, _V) if i != slot)
    # Dynamo cannot trace a Function that defines `jvp`; forward-mode AD is for eager code alone.
    function = _Partial if torch.compiler.is_compiling() else _PartialWithJvp
    result: Tensor = function.apply(slot, first, second, *grid)  # type: ignore[no-untyped-call]
    return result


def _compute(slot: int, first: Tensor, second: Tensor, grid: BlockGrid) -> Tensor:
    dtype = torch.promote_types(torch.promote_types(first.dtype, second.dtype), torch.float32)
    a, b = first.to(dtype), second.to(dtype)
    if slot == _H:
        return _dense_correlation(a, b, grid) if grid.dense else _correlation(a, b, grid)
    signal, taps = (a, b) if slot == _V else (b, a)
    if slot == _X:  # each block of inputs meets outputs of its own block and of later ones
        signal = F.pad(signal, (0, 0, 0, 0, grid.lags - 1, grid.lags - 1))
    if grid.dense:
        weight = F.pad(taps, (0, 0, 0, 1))[_tap_numbers(grid, taps.device)]
        y = _dense_filter(signal, weight if slot == _V else weight.transpose(1, 2).flip(0))
    else:
        links = _links(grid)
        if slot == _X:
            links = [(m, p, grid.lags - 1 - lag, tap) for p, m, lag, tap in links]
        y = _filter(signal, taps, links, grid.outputs if slot == _V else grid.inputs, grid.lags)
    return y.to((first if slot == _V else second).dtype)


def _links(grid: BlockGrid) -> list[_Link]:
    """(output, input, lag in blocks, tap) of each tap: it connects one output of a block with one input."""
    inverse = pow(grid.down, -1, grid.up) if grid.up > 1 else 0
    links = []
    for tap in range(grid.numtaps):
        output = tap * inverse % grid.up
        place = (output * grid.down - tap) // grid.up + grid.offset
        links.append((output, place % grid.inputs, -(place // grid.inputs), tap))
    return links


def _filter(x: Tensor, taps: Tensor, links: list[_Link], outputs: int, lags: int) -> Tensor:
    """Tap by tap: y[q, p] += h[tap] * x[q - lag, m]."""
    blocks = x.shape[1] - (lags - 1)
    met = [(p, x[:, :, m].narrow(1, lags - 1 - lag, blocks), taps[tap]) for p, m, lag, tap in links]
    silence = x.new_zeros(x.shape[0], blocks, x.shape[3])
    if torch.compiler.is_compiling():
        rows = [[samples * tap for p, samples, tap in met if p == output] for output in range(outputs)]
        return torch.stack([sum(row[1:], row[0]) if row else silence for row in rows], 2)
    y = x.new_empty(x.shape[0], blocks, outputs, x.shape[3])
    written = set()
    for p, samples, tap in met:
        if p in written:
            y[:, :, p].addcmul_(samples, tap)
        else:
            torch.mul(samples, tap, out=y[:, :, p])
            written.add(p)
    for p in range(outputs):
        if p not in written:
            y[:, :, p] = 0
    return y


def _correlation(x: Tensor, v: Tensor, grid: BlockGrid) -> Tensor:
    blocks = v.shape[1]
    rows = []
    for p, m, lag, _ in _links(grid):
        met, out = x[:, :, m].narrow(1, grid.lags - 1 - lag, blocks), v[:, :, p]
        if torch.compiler.is_compiling() or v.shape[0] == 0:
            rows.append((met * out).sum((0, 1)))
            continue
        total = met[0] * out[0]  # row by row: it stays in the cache, where the whole product would not
        for row in range(1, v.shape[0]):
            total.addcmul_(met[row], out[row])
        rows.append(total.sum(0))
    return torch.stack(rows)


def _tap_numbers(grid: BlockGrid, device: torch.device) -> Tensor:
    """The tap between each output and each input of the blocks of each lag; `numtaps` where there is none."""
    lag = torch.arange(grid.lags, device=device)[:, None, None] * (grid.inputs * grid.up)
    output = torch.arange(grid.outputs, device=device)[:, None] * grid.down
    taps = lag + output - (torch.arange(grid.inputs, device=device) - grid.offset) * grid.up
    return torch.where((taps >= 0) & (taps < grid.numtaps), taps, grid.numtaps)


def _dense_filter(x: Tensor, weight: Tensor) -> Tensor:
    """y[q] = sum over lags of weight[lag] @ x[q - lag], for weight (lags, outputs, inputs, channels)."""
    lags = weight.shape[0]
    blocks = x.shape[1] - (lags - 1)
    with torch.autocast(x.device.type, enabled=False):
        terms = [_product(x.narrow(1, lags - 1 - lag, blocks), weight[lag]) for lag in range(lags)]
    return sum(terms[1:], terms[0])


def _product(x: Tensor, weight: Tensor) -> Tensor:
    if x.shape[-1] == 1:
        return (x.squeeze(-1) @ weight.squeeze(-1).T).unsqueeze(-1)
    return torch.einsum("bqmc,pmc->bqpc", x, weight)


def _dense_correlation(x: Tensor, v: Tensor, grid: BlockGrid) -> Tensor:
    blocks = v.shape[1]
    with torch.autocast(x.device.type, enabled=False):
        products = [
            torch.einsum("bqpc,bqmc->pmc", v, x.narrow(1, grid.lags - 1 - lag, blocks))
            for lag in range(grid.lags)
        ]
    total = x.new_zeros(grid.numtaps + 1, x.shape[3])
    numbers = _tap_numbers(grid, x.device).flatten()
    return total.index_add(0, numbers, torch.stack(products).flatten(0, 2))[: grid.numtaps]


def _beside_channels(tensor: Tensor, dim: int | None, size: int) -> Tensor:
    """Move a batched dimension into the channels, which are independent: (..., C) -> (..., size * C)."""
    if dim is None:
        return tensor.unsqueeze(-2).expand(*tensor.shape[:-1], size, -1).flatten(-2)
    return tensor.movedim(dim, -2).flatten(-2)


class _Partial(Function):
    @staticmethod
    def forward(slot: int, first: Tensor, second: Tensor, *grid: Any) -> Tensor:
        return _compute(slot, first, second, BlockGrid(*grid))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.slot, first, second = inputs[:3]
        ctx.grid = inputs[3:]
        ctx.save_for_backward(first, second)
        ctx.save_for_forward(first, second)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        grid, slots = BlockGrid(*ctx.grid), [i for i in (_X, _H, _V) if i != ctx.slot]
        parts = {**dict(zip(slots, ctx.saved_tensors, strict=True)), ctx.slot: gradient}
        gradients = [
            _partial(i, parts, grid).to(parts[i].dtype) if needed else None
            for i, needed in zip(slots, ctx.needs_input_grad[1:3], strict=True)
        ]
        return None, *gradients, *[None] * len(grid)

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], slot: int, first: Tensor, second: Tensor, *grid: Any
    ) -> tuple[Tensor, int]:
        slots = [i for i in (_X, _H, _V) if i != slot]
        moved = [
            _beside_channels(part, dim, info.batch_size)
            for part, dim in zip((first, second), in_dims[1:3], strict=True)
        ]
        result = _partial(slot, dict(zip(slots, moved, strict=True)), BlockGrid(*grid))
        return result.unflatten(-1, (info.batch_size, -1)), result.ndim - 1


class _PartialWithJvp(_Partial):
    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        grid, slots = BlockGrid(*ctx.grid), [i for i in (_X, _H, _V) if i != ctx.slot]
        given = dict(zip(slots, ctx.saved_tensors, strict=True))
        terms = [
            _partial(ctx.slot, {**given, i: tangent}, grid)
            for i, tangent in zip(slots, tangents[1:3], strict=True)
            if tangent is not None
        ]
        return sum(terms[1:], terms[0])

"""The kernel of all changes of rate and all filterbanks: filters from blocks of inputs to blocks of outputs.

With L outputs for every M inputs, tap h[i] connects input j with output n if i = n M - j L. In blocks of M inputs and
L outputs this is one trilinear form,

    S(x, h, v) = sum over b, q, i, c of  v[b, q, p_i, c] * h[i, c] * x[b, q - a_i, m_i, c],

in which tap i connects input m_i of the block a_i blocks earlier with output p_i. Its three partial derivatives are the
filter (in v), the adjoint (in x) and the correlation (in h): see `trilinear`. The form is symmetric in x and v, so the
adjoint is the filter with inputs and outputs exchanged: the adjoint of decimation is upsampling with the same taps. A
filterbank is the same form: the outputs at one time, one for each band, are the outputs of one block.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from dsptorch.functional.polyphase_grid import BlockGrid
from dsptorch.functional.polyphase_matrix import matrix_correlation, matrix_filter
from dsptorch.functional.trilinear import V, W, X, accumulation_dtype, partial_derivative

__all__ = ["block_filter"]


def block_filter(x: Tensor, taps: Tensor, grid: BlockGrid) -> Tensor:
    """Filter blocks of inputs into blocks of outputs: the derivative of S in v.

    Args:
        x: The blocks of inputs, preceded by `grid.lags - 1` earlier blocks.
        taps: The filters, for each channel or for all channels.
        grid: The assignment of taps to pairs of input and output.

    Shape:
        x: (batch, blocks + grid.lags - 1, grid.inputs * grid.fan_in, channels). taps: (grid.total, channels or 1).
        Result: (batch, blocks, grid.outputs * grid.fan_out, channels), in the dtype of x; half precision is
        accumulated in float32.

    Example:
        >>> from dsptorch.functional.polyphase_grid import BlockGrid
        >>> pairs = torch.tensor([1.0, 2.0, 3.0, 4.0]).reshape(1, 2, 2, 1)
        >>> first = BlockGrid(up=1, down=2, numtaps=1, outputs=1, inputs=2, offset=0, lags=1, dense=False)
        >>> block_filter(pairs, torch.ones(1, 1), first).flatten()
        tensor([1., 3.])

    References:
        P. P. Vaidyanathan, Multirate Systems and Filter Banks, 1993, section 4.3 (polyphase decomposition), page 120.
    """
    return partial_derivative(_Form(grid, x.shape[3] // taps.shape[1]), V, {X: x, W: taps})


class _Form(NamedTuple):
    """The form on a grid; `sharing` neighbouring channels share their taps."""

    grid: BlockGrid
    sharing: int

    def compute(
        self, slot: int, first: Tensor, second: Tensor, position: object = None, following: object = None
    ) -> Tensor:
        """The derivative of S in the argument `slot`, from the other two arguments."""
        grid, sharing = self
        dtype = accumulation_dtype(first, second)
        a, b = first.to(dtype), second.to(dtype)
        if slot == W:
            if grid.dense:
                shared = sharing if sharing == a.shape[3] else 1
                gradient = matrix_correlation(a, b, grid, shared)
                sharing //= shared
            else:
                gradient = _correlation(a, b, grid)
            return gradient.reshape(grid.total, -1, sharing).sum(2) if sharing > 1 else gradient
        signal, taps, result = (a, b, first.dtype) if slot == V else (b, a, second.dtype)
        if slot == X:  # a block of inputs reaches outputs of its own block and of later blocks
            signal = F.pad(signal, (0, 0, 0, 0, grid.lags - 1, grid.lags - 1))
        if 1 < taps.shape[1] < signal.shape[3]:  # in a vmap
            taps = taps.repeat_interleave(sharing, 1)
        y = (matrix_filter if grid.dense else _filter)(signal, taps, grid, adjoint=slot == X)
        return y.to(result)


def _filter(x: Tensor, taps: Tensor, grid: BlockGrid, *, adjoint: bool) -> Tensor:
    """Filter tap by tap: y[q, p] += h[tap] * x[q - lag, m]."""
    links, blocks = grid.links(), x.shape[1] - (grid.lags - 1)
    outputs = grid.inputs * grid.fan_in if adjoint else grid.outputs * grid.fan_out
    if adjoint:  # exchange inputs and outputs
        links = [(m, p, grid.lags - 1 - lag, tap) for p, m, lag, tap in links]
    met = [(p, x[:, :, m].narrow(1, grid.lags - 1 - lag, blocks), taps[tap]) for p, m, lag, tap in links]
    rows = []
    for output in range(outputs):
        terms = [(samples, tap) for p, samples, tap in met if p == output]
        if not terms:
            rows.append(x.new_zeros(x.shape[0], blocks, x.shape[3]))
            continue
        y = terms[0][0] * terms[0][1]
        for samples, tap in terms[1:]:
            y = y + samples * tap if torch.compiler.is_compiling() else y.addcmul_(samples, tap)
        rows.append(y)
    return torch.stack(rows, 2)


def _correlation(x: Tensor, v: Tensor, grid: BlockGrid) -> Tensor:
    blocks = v.shape[1]
    rows = []
    for p, m, lag, _ in grid.links():
        met, out = x[:, :, m].narrow(1, grid.lags - 1 - lag, blocks), v[:, :, p]
        if torch.compiler.is_compiling() or v.shape[0] == 0:
            rows.append((met * out).sum((0, 1)))
            continue
        total = met[0] * out[0]  # row by row: a row fits in the cache, the whole product does not
        for row in range(1, v.shape[0]):
            total.addcmul_(met[row], out[row])
        rows.append(total.sum(0))
    return torch.stack(rows)

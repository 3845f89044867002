"""The kernel of every change of rate: blocks of inputs to blocks of outputs, through one set of taps.

Where L outputs go with every M inputs, tap h[i] connects input j with output n if i = n M - j L. In blocks of M inputs
and L outputs that is one trilinear form,

    S(x, h, v) = sum over b, q, i, c of  v[b, q, p_i, c] * h[i, c] * x[b, q - a_i, m_i, c],

in which tap i connects input m_i of the block a_i blocks earlier with output p_i. Its three partial derivatives are the
filter (in v), the adjoint (in x) and the correlation (in h): see `trilinear`. The form treats x and v alike, so the
adjoint is the filter with inputs and outputs exchanged: the adjoint of decimation is upsampling with the same taps.
"""

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
        x: The blocks of inputs, behind the `grid.lags - 1` blocks before them.
        taps: One filter for each channel.
        grid: Which tap connects which input with which output.

    Shape:
        x: (batch, blocks + grid.lags - 1, grid.inputs, channels). taps: (grid.numtaps, channels).
        Result: (batch, blocks, grid.outputs, channels), in the dtype of x; half precision is accumulated in float32.

    Example:
        >>> from dsptorch.functional.polyphase_grid import BlockGrid
        >>> pairs = torch.tensor([1.0, 2.0, 3.0, 4.0]).reshape(1, 2, 2, 1)
        >>> first = BlockGrid(up=1, down=2, numtaps=1, outputs=1, inputs=2, offset=0, lags=1, dense=False)
        >>> block_filter(pairs, torch.ones(1, 1), first).flatten()
        tensor([1., 3.])

    References:
        P. P. Vaidyanathan, Multirate Systems and Filter Banks, 1993, section 4.3 (polyphase decomposition), page 120.
    """
    return partial_derivative(_compute, V, {X: x, W: taps}, grid)


def _compute(slot: int, first: Tensor, second: Tensor, grid: BlockGrid) -> Tensor:
    dtype = accumulation_dtype(first, second)
    a, b = first.to(dtype), second.to(dtype)
    if slot == W:
        return matrix_correlation(a, b, grid) if grid.dense else _correlation(a, b, grid)
    signal, taps, result = (a, b, first.dtype) if slot == V else (b, a, second.dtype)
    if slot == X:  # a block of inputs meets outputs of its own block and of later ones
        signal = F.pad(signal, (0, 0, 0, 0, grid.lags - 1, grid.lags - 1))
    y = (matrix_filter if grid.dense else _filter)(signal, taps, grid, adjoint=slot == X)
    return y.to(result)


def _filter(x: Tensor, taps: Tensor, grid: BlockGrid, *, adjoint: bool) -> Tensor:
    """Tap by tap: y[q, p] += h[tap] * x[q - lag, m]."""
    links, outputs, blocks = grid.links(), grid.outputs, x.shape[1] - (grid.lags - 1)
    if adjoint:  # inputs and outputs exchange their places
        links = [(m, p, grid.lags - 1 - lag, tap) for p, m, lag, tap in links]
        outputs = grid.inputs
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
        total = met[0] * out[0]  # row by row: it stays in the cache, where the whole product would not
        for row in range(1, v.shape[0]):
            total.addcmul_(met[row], out[row])
        rows.append(total.sum(0))
    return torch.stack(rows)

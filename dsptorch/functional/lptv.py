"""The one kernel: a depthwise, linear, periodically time-varying FIR filter as shift-and-add.

The operation is one trilinear form,

    S(x, w, v) = sum over b, t, i, c of  v[b, t, c] * w[t mod P, i, c] * x[b, t - lags[i], c],

whose three partial derivatives are the three functions below: the filter (in v), the filter with the
time-reversed weights (in x), and the correlation (in w). Each is the derivative of the others, so two
`autograd.Function`s are differentiable to any order and save nothing but their own inputs.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import Function


def lptv_filter(x: Tensor, weight: Tensor, lags: Sequence[int]) -> Tensor:
    """Filter a signal with periodically time-varying taps, taking it as zero outside its ends.

        y[t, c] = sum_i  weight[t mod P, i, c] * x[t - lags[i], c]

    Args:
        x: The signal, sample 0 at phase 0.
        weight: The taps of each of the P phases, for every channel or (C = 1) shared by all.
        lags: The delay of each tap in samples; negative ones look ahead.

    Shape:
        x: (batch, time, channels). weight: (P, len(lags), channels or 1). Result: as x, in x's dtype.
        Half-precision input is accumulated in float32.

    Example:
        >>> x = torch.tensor([1.0, 2.0, 4.0]).reshape(1, 3, 1)
        >>> difference = torch.tensor([1.0, -1.0]).reshape(1, 2, 1)
        >>> lptv_filter(x, difference, lags=(0, 1)).flatten()
        tensor([1., 1., 2.])

    References:
        P. P. Vaidyanathan, Multirate Systems and Filter Banks, 1993, ch. 10 (LPTV systems).
    """
    if not lags:
        return torch.zeros_like(x)
    if weight.shape[-1] != x.shape[-1]:
        weight = weight.expand(-1, -1, x.shape[-1])
    # Dynamo cannot trace a Function that defines `jvp`; forward-mode AD is for eager code alone.
    function = _Filter if torch.compiler.is_compiling() else _FilterWithJvp
    if weight.shape[0] == 1 or not torch.compiler.is_compiling():
        return _applied(function, x, weight, lags)
    return first_samples(_applied(function, in_blocks(x, weight.shape[0]), weight, lags), x.shape[1])


def in_blocks(x: Tensor, size: int) -> Tensor:
    """Add silence up to whole blocks, at least one, so that a compiler sees that there is no rest whatever the time."""
    time = x.shape[1]
    blocks = (time + size - 1) // size or 1
    if _known(time, blocks * size):
        return x
    if torch.compiler.is_compiling():
        blocks += 1  # or one graph would hold for a single block, and another for several
    return F.pad(x, (0, 0, 0, blocks * size - time))


def first_samples(y: Tensor, time: int) -> Tensor:
    """The first samples of a signal that `in_blocks` may have made longer."""
    if _known(time, y.shape[1]):
        return y
    if torch.compiler.is_compiling():
        # Not a slice: it has another layout where there is no rest, and so another graph.
        return F.pad(y, (0, 0, 0, time - y.shape[1]))
    return y[:, :time]


def _known(time: int, length: int) -> bool:
    """Whether two lengths are equal; in a graph for many lengths, whether they always are."""
    if not torch.compiler.is_compiling():
        return time == length
    from torch.fx.experimental.symbolic_shapes import statically_known_true  # noqa: PLC0415, brings sympy

    return statically_known_true(time == length)


def _applied(function: type[Function], x: Tensor, weight: Tensor, lags: Sequence[int]) -> Tensor:
    y: Tensor = function.apply(x, weight, tuple(lags))
    return y


def _correlate(x: Tensor, v: Tensor, period: int, lags: tuple[int, ...]) -> Tensor:
    """The derivative of S in w: g[p, i, c] = sum over b and t = p mod P of v[t, c] * x[t - lags[i], c]."""
    function = _Correlation if torch.compiler.is_compiling() else _CorrelationWithJvp
    g: Tensor = function.apply(x, v, period, lags)  # type: ignore[no-untyped-call]
    return g


def _reverse(weight: Tensor, lags: tuple[int, ...]) -> tuple[Tensor, tuple[int, ...]]:
    """The adjoint filter: weight[(t + lag) mod P] at lag -lag."""
    if weight.shape[0] > 1:
        weight = torch.stack([weight[:, i].roll(-lag, 0) for i, lag in enumerate(lags)], 1)
    return weight, tuple(-lag for lag in lags)


def _accumulation_dtype(*tensors: Tensor) -> torch.dtype:
    dtype = torch.float32
    for tensor in tensors:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return dtype


def _shifted(x: Tensor, period: int, lags: tuple[int, ...], dtype: torch.dtype) -> list[Tensor]:
    """The views x[t - lag], each (batch, blocks, P, channels), of one zero-padded copy of x."""
    time = x.shape[1]
    blocks = (time + period - 1) // period
    before, after = max(0, *lags), max(0, *(-lag for lag in lags))
    padded = F.pad(x.to(dtype), (0, 0, before, after + blocks * period - time))
    moved = [padded.narrow(1, before - lag, blocks * period) for lag in lags]
    if torch.compiler.is_exporting() and period > 1:
        # A view is only allowed where it is proved that the blocks divide the time.
        return [view.unfold(1, period, period).transpose(2, 3) for view in moved]
    shape = (x.shape[0], blocks, period, x.shape[2])
    return [view.view(shape) for view in moved]


def _summed(first: Tensor, second: Tensor) -> Tensor:
    """The sum of the products over rows and blocks: (batch, blocks, P, channels) twice -> (P, channels)."""
    if torch.compiler.is_compiling() or first.shape[0] == 0:
        return (first * second).sum((0, 1))
    total = first[0] * second[0]  # row by row: it stays in the cache, where the whole product would not
    for row in range(1, first.shape[0]):
        total.addcmul_(first[row], second[row])
    return total.sum(0)


def _beside_channels(tensor: Tensor, dim: int | None, size: int) -> Tensor:
    """Move a batched dimension into the channels, which are independent: (..., C) -> (..., size * C)."""
    if dim is None:
        return tensor.unsqueeze(-2).expand(*tensor.shape[:-1], size, -1).flatten(-2)
    return tensor.movedim(dim, -2).flatten(-2)


class _Filter(Function):
    @staticmethod
    def forward(x: Tensor, weight: Tensor, lags: tuple[int, ...]) -> Tensor:
        dtype = _accumulation_dtype(x, weight)
        taps = weight.to(dtype)
        shifted = _shifted(x, weight.shape[0], lags, dtype)
        y = shifted[0] * taps[:, 0]
        for i in range(1, len(lags)):
            y.addcmul_(shifted[i], taps[:, i])
        y = y.view(x.shape[0], y.shape[1] * y.shape[2], x.shape[2]).to(x.dtype)
        # The last block may be cut; forward-mode AD takes no view of a longer tensor for an output.
        return y.narrow(1, 0, x.shape[1]).clone() if x.shape[1] % weight.shape[0] else y

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, weight, ctx.lags = inputs
        ctx.save_for_backward(x, weight)
        ctx.save_for_forward(x, weight)

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        grad_x = grad_weight = None
        if ctx.needs_input_grad[0]:
            grad_x = lptv_filter(v, *_reverse(weight, ctx.lags)).to(x.dtype)
        if ctx.needs_input_grad[1]:
            grad_weight = _correlate(x, v, weight.shape[0], ctx.lags).to(weight.dtype)
        return grad_x, grad_weight, None

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], x: Tensor, weight: Tensor, lags: tuple[int, ...]
    ) -> tuple[Tensor, int]:
        size = info.batch_size
        y = lptv_filter(
            _beside_channels(x, in_dims[0], size), _beside_channels(weight, in_dims[1], size), lags
        )
        return y.unflatten(-1, (size, -1)), 2


class _FilterWithJvp(_Filter):
    @staticmethod
    def jvp(ctx: Any, x_tangent: Tensor | None, weight_tangent: Tensor | None, _: None) -> Tensor | None:
        x, weight = ctx.saved_tensors
        terms = []
        if x_tangent is not None:
            terms.append(lptv_filter(x_tangent, weight, ctx.lags))
        if weight_tangent is not None:
            terms.append(lptv_filter(x, weight_tangent, ctx.lags))
        return sum(terms[1:], terms[0]) if terms else None


class _Correlation(Function):
    @staticmethod
    def forward(x: Tensor, v: Tensor, period: int, lags: tuple[int, ...]) -> Tensor:
        dtype = _accumulation_dtype(x, v)
        (blocks,) = _shifted(v, period, (0,), dtype)
        return torch.stack([_summed(blocks, view) for view in _shifted(x, period, lags, dtype)], 1)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, v, ctx.period, ctx.lags = inputs
        ctx.save_for_backward(x, v)
        ctx.save_for_forward(x, v)

    @staticmethod
    def backward(ctx: Any, weight: Tensor) -> tuple[Tensor | None, ...]:
        x, v = ctx.saved_tensors
        grad_x = grad_v = None
        if ctx.needs_input_grad[0]:
            grad_x = lptv_filter(v, *_reverse(weight, ctx.lags)).to(x.dtype)
        if ctx.needs_input_grad[1]:
            grad_v = lptv_filter(x, weight, ctx.lags).to(v.dtype)
        return grad_x, grad_v, None, None

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], x: Tensor, v: Tensor, period: int, lags: tuple[int, ...]
    ) -> tuple[Tensor, int]:
        size = info.batch_size
        g = _correlate(
            _beside_channels(x, in_dims[0], size), _beside_channels(v, in_dims[1], size), period, lags
        )
        return g.unflatten(-1, (size, -1)), 2


class _CorrelationWithJvp(_Correlation):
    @staticmethod
    def jvp(ctx: Any, x_tangent: Tensor | None, v_tangent: Tensor | None, *_: None) -> Tensor | None:
        x, v = ctx.saved_tensors
        terms = []
        if x_tangent is not None:
            terms.append(_correlate(x_tangent, v, ctx.period, ctx.lags))
        if v_tangent is not None:
            terms.append(_correlate(x, v_tangent, ctx.period, ctx.lags))
        return sum(terms[1:], terms[0]) if terms else None
